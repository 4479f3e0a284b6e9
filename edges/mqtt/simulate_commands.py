"""`vitalflow edges mqtt simulate`: options of the command that publishes as a foreign program."""

import signal
from typing import Annotated

import typer

from devices.scenario import Scenario
from edges.mqtt.simulate import simulate
from mqtt.endpoint import BrokerEndpoint
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError

app = command_group()


@app.command("simulate", epilog=examples("vitalflow edges mqtt simulate --to mqtt://127.0.0.1:1883"))
def simulate_node(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The foreign broker.", show_default=False)],
    node: Annotated[str, typer.Option(help="The name of the node, a level of its topics.")] = "oximeter",
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two measurements.")] = 5.0,
    scenario: Annotated[Scenario, typer.Option(help="What happens to the patient.")] = Scenario.MIXED,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
) -> None:
    """Publish what a simulated patient has as an ESPHome node does, a topic for each sensor, until Ctrl-C."""
    try:
        broker = BrokerEndpoint.parse(to)
    except ValueError as error:
        raise PermanentError(f"--to: {error}") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"publishing to {broker} every {interval:g} s", flush=True)
    count = sum(simulate(broker, node, scenario, interval, seconds))
    print(f"ended: {count} messages", flush=True)

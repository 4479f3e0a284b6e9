"""`vitalflow edges webhook simulate`: options of the command that sends documents."""

import signal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from devices.scenario import Scenario
from edges.config.secret_file import SecretFile
from edges.webhook.simulate import simulate
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError

app = command_group()


@app.command(
    "simulate",
    epilog=examples(
        "vitalflow edges webhook simulate --to http://127.0.0.1:8087/webhooks/phone --secret-file webhook/phone.secret"
    ),
)
def simulate_phone(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The address of a webhook.", show_default=False)],
    secret_file: Annotated[Path, typer.Option(help="The file with its secret, for proof bearer.", show_default=False)],
    interval: Annotated[float, typer.Option(min=1.0, help="Seconds between two documents.")] = 5.0,
    scenario: Annotated[Scenario, typer.Option(help="What happens to the patient.")] = Scenario.MIXED,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
) -> None:
    """Send what a simulated patient has as documents of Health Auto Export, until Ctrl-C.

    A document is sent until 2xx, together with the values of the last ones, as the app does.
    """
    if urlsplit(to).scheme not in ("http", "https"):
        raise PermanentError(f"{to[:100]!a} is no address of HTTP")
    secret = SecretFile(secret_file, "the webhook", 1).value.decode()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"sending to {to} every {interval:g} s", flush=True)
    answers = simulate(to, secret, scenario, interval, seconds, lambda text: print(text, flush=True))
    codes = ", ".join(f"{count} {status}" for status, count in sorted(answers.items())) or "no answer"
    print(f"ended: {answers.total()} documents: {codes}", flush=True)

"""`vitalflow edges webhook`: options of each command; the work is in the other modules."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import parse_qsl

import typer

from edges.alert_webhooks import commands as alert_commands
from edges.config.site import Site, read_site
from edges.config.webhook_table import Kind, Webhook
from edges.input_file import read_input
from edges.observations.json_document import MAX_BODY, InvalidDocument
from edges.try_output import (
    line_of_verdict,
    lines_of_readings,
    print_document,
    show_found,
    show_refused,
)
from edges.webhook import listen_commands, simulate_commands
from edges.webhook.http_file import RequestFile, read_request
from edges.webhook.receive import receive
from edges.webhook.secrets import Secrets
from edges.webhook.signatures import HttpRequest, Unproven, check_signed, check_stated, verify_address
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError
from vitals.time_option import TIME_FORMS, parse_time_option

KINDS: tuple[str, ...] = get_args(Kind)

app = command_group("vitalflow edges webhook")
app.add_typer(listen_commands.app)
app.add_typer(simulate_commands.app)
app.add_typer(alert_commands.app)


@app.callback()
def about() -> None:
    """Webhooks: receive documents that applications and services send by HTTP, and send alerts to receivers."""


@app.command(
    "try",
    epilog=examples(
        "vitalflow edges webhook try request.http --site site.toml --json",
        "vitalflow edges webhook try body.json --site site.toml --name phone",
    ),
)
def try_file(
    file: Annotated[Path, typer.Argument(help="A request (request line, headers, empty line, body), or a body alone.")],
    site: Annotated[Path, typer.Option(help="The site's configuration, a TOML file.", show_default=False)],
    name: Annotated[str, typer.Option(help="The [[webhook]]. Default: that of the request's path.")] = "",
    kind: Annotated[str, typer.Option(help="The kind of a body without a [[webhook]], as in the site.")] = "",
    at: Annotated[str, typer.Option(help=f"The time of receipt: {TIME_FORMS}. Default: now.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would become of a document in a file: readings, what is not used and why, the answer.

    Nothing is sent and nothing is stored. The proof of a request is checked, that of a body alone is not. Exit code 2
    if the document would be refused.
    """
    configuration = read_site(site)
    received = parse_time_option("--at", at).astimezone(UTC) if at else datetime.now(UTC)
    content = read_input(file)
    request = read_request(content)
    webhook = _find(configuration, name or (request.name if request else ""), kind)
    shown = _try(configuration, webhook, request, content, received)
    print_document(file, shown, _lines, as_json=as_json)


def _find(site: Site, name: str, kind: str) -> Webhook:
    found = next((webhook for webhook in site.webhook if webhook.name == name), None)
    if found is not None:
        return found
    if kind not in KINDS:
        names = ", ".join(webhook.name for webhook in site.webhook) or "none"
        raise PermanentError(
            f"the site has no [[webhook]] {name[:60]!r} (it has {names}); give --name, or --kind with one of "
            f"{', '.join(KINDS)}"
        )
    return Webhook.model_construct(name=name, kind=kind, secret_file=())


def _try(
    site: Site, webhook: Webhook, request: RequestFile | None, content: bytes, received: datetime
) -> dict[str, Any]:
    body = content
    try:
        if request is not None:
            body = request.body
            if webhook in site.webhook:
                secrets = Secrets(site.model_copy(update={"webhook": (webhook,)}))
                if request.method == "GET":
                    return _verified(webhook, secrets.code_of(webhook), request)
                proof = HttpRequest(body, request.headers, request.path_secret)
                check_stated(webhook, secrets.of(webhook), proof)
                check_signed(webhook, secrets.of(webhook), proof, received)
        if len(body) > MAX_BODY:
            raise InvalidDocument(f"the body has more than {MAX_BODY} bytes; send several documents", 413)
        found = receive(body, webhook, site, received)
    except Unproven as error:
        return show_refused(str(error), status=401)
    except InvalidDocument as error:
        return show_refused(str(error), status=error.status)
    answer = {"status": found.status, "answer": json.loads(found.answer or b"null")}
    return show_found(found, type=webhook.kind, source=webhook.name or None, **answer)


def _verified(webhook: Webhook, code: bytes, request: RequestFile) -> dict[str, Any]:
    answer = verify_address(webhook, code, dict(parse_qsl(request.query)))
    if answer is None or answer.status >= 400:
        return show_refused("the request does not verify the address", status=answer.status if answer else 405)
    return {**show_refused("", status=answer.status), "readable": True, "outcome": "nothing", "type": webhook.kind}


def _lines(shown: dict[str, Any]) -> list[str]:
    if not shown["readable"]:
        return [f"refused, answer {shown['status']}: {shown['error']}"]
    lines = [f"{shown['type']}: {shown['outcome']}, answer {shown['status']}", *lines_of_readings(shown)]
    return lines + [line_of_verdict("", item) for item in shown["not_used"]]

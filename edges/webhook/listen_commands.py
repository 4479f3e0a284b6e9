"""`vitalflow edges webhook listen`: options of the service that receives webhooks."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from edges.listener import listening as shared
from edges.listener.access import parse_address
from edges.listener.http_server import serving
from edges.listener.unproven import UnprovenRequests
from edges.service.service import Service
from edges.webhook.intake import Intake
from edges.webhook.secrets import SAFE_LENGTH, Secrets
from edges.webhook.web import PATH, webhook_application
from mqtt.http_socket import listening
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError
from vitals.urls import is_loopback

MODEL = "webhook"

log = logging.getLogger("edges")
app = command_group()


@app.command(epilog=examples("vitalflow edges webhook listen --site site.toml --inbox inbox.db"))
def listen(
    site: shared.SiteFile,
    inbox: shared.InboxFile,
    address: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8087",
    credentials: shared.CredentialsFile = None,
    certificate: shared.CertificateFile = None,
    key: shared.KeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Receive documents at /webhooks/NAME, and publish the readings of each device.

    A document is answered with 2xx after it is kept on disk. Settings are environment variables, listed in
    .env.example.
    """
    shared.configure_log(verbose=verbose)
    options = shared.read_options(site, inbox, credentials)
    if not options.site.webhook:
        raise PermanentError(f"{site} has no [[webhook]]: no program may send")
    secrets = Secrets(options.site)
    access = shared.read_access(certificate, key)
    host, port = parse_address(address, "127.0.0.1:8087")
    require_safe(host, secrets, encrypted=access.tls is not None)
    with listening(host, port) as taken:

        @asynccontextmanager
        async def receiving(service: Service) -> AsyncIterator[None]:
            unproven = UnprovenRequests(service.metrics.messages)
            intake = Intake(options.site, service.inbox, service.metrics)
            application = webhook_application(intake.handle, options.site.webhook, secrets, unproven)
            async with serving(application, taken, access, [secrets.renew]):
                log.info("listening for webhooks at %s:%d%s", *taken.getsockname()[:2], PATH)
                yield

        shared.run_service(options, MODEL, receiving, right_clock=True)


def require_safe(host: str, secrets: Secrets, *, encrypted: bool) -> None:
    """Raise PermanentError if another machine could read or guess a secret."""
    if is_loopback(host):
        return
    if not encrypted:
        raise PermanentError(
            f"other machines can reach {host}: give the listener --certificate and --key, or listen on 127.0.0.1"
        )
    if short := secrets.find_short():
        raise PermanentError(
            f"{short}: other machines can reach {host}, and the secret has less than {SAFE_LENGTH} "
            "characters; `openssl rand -hex 32` makes one"
        )

"""`vitalflow edges fhir listen`: options of the service that receives FHIR."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import typer

from edges.config.site import Source
from edges.fhir.intake import Intake
from edges.fhir.tokens import Tokens
from edges.fhir.web import fhir_application
from edges.listener import listening as shared
from edges.listener.access import Access, parse_address
from edges.listener.http_body import HttpAnswer
from edges.listener.http_server import serving
from edges.listener.unproven import UnprovenRequests
from edges.service.service import Service
from mqtt.http_socket import listening
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError
from vitals.urls import is_loopback

MODEL = "FHIR R4"

log = logging.getLogger("edges")
app = command_group()


@app.command(epilog=examples("vitalflow edges fhir listen --site site.toml --inbox inbox.db"))
def listen(
    site: shared.SiteFile,
    inbox: shared.InboxFile,
    address: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8086",
    credentials: shared.CredentialsFile = None,
    certificate: shared.CertificateFile = None,
    key: shared.KeyFile = None,
    ca: shared.CaFile = None,
    revoked: shared.RevokedFile = None,
    names: shared.SenderNames = "",
    verbose: Verbose = False,
) -> None:
    """Receive FHIR R4 at /fhir/R4, and publish the readings of each bed as a device.

    A document is answered after it is kept on disk. Settings are environment variables, listed in .env.example.
    """
    shared.configure_log(verbose=verbose)
    options = shared.read_options(site, inbox, credentials)
    tokens = Tokens(options.site)
    access = shared.read_access(certificate, key, ca, revoked, names)
    host, port = parse_address(address, "127.0.0.1:8086")
    require_safe(host, tokens, access)
    if not tokens.required and not access.needs_certificate:
        log.warning("no source has a token_file: every program of this machine can send readings")
    with listening(host, port) as taken:

        @asynccontextmanager
        async def receiving(service: Service) -> AsyncIterator[None]:
            intake = Intake(options.site, service.inbox, service.metrics)

            async def handle(body: bytes, source: Source, now: datetime, bundle: bool) -> HttpAnswer:
                return await intake.handle(body, source, now, bundle=bundle)

            application = fhir_application(handle, tokens, UnprovenRequests(service.metrics.messages))
            async with serving(application, taken, access, [tokens.renew]):
                log.info("listening for FHIR at %s:%d/fhir/R4", *taken.getsockname()[:2])
                yield

        shared.run_service(options, MODEL, receiving)


def require_safe(host: str, tokens: Tokens, access: Access) -> None:
    """Raise PermanentError if any machine on the network could send, or read a token."""
    if not is_loopback(host) and not (access.tls is not None and (tokens.required or access.needs_certificate)):
        raise PermanentError(
            f"other machines can reach {host}: give the listener --certificate and --key, and a source of the site "
            "a token_file or the listener the --ca of the senders' certificates, or listen on 127.0.0.1"
        )

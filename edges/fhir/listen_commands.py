"""`vitalflow edges fhir listen`: options of the service that receives FHIR."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from edges.fhir.answers import HttpAnswer
from edges.fhir.intake import Intake
from edges.fhir.tokens import Tokens
from edges.fhir.web import fhir_application
from edges.hl7.client import parse_receiver
from edges.service import running_service
from edges.settings import EdgesSettings
from edges.site import Site, Source, read_site
from mqtt.server_certificate import ReloadingCertificate
from vitals import log as vitals_log
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError, exit_on_error

PROGRAM = "vitalflow edges fhir"
MODEL = "FHIR R4"
RENEW_INTERVAL_S = 10.0
MAX_CONNECTIONS = 500

log = logging.getLogger("edges")
app = command_group()


@app.command(epilog=examples("vitalflow edges fhir listen --site site.toml --inbox inbox.db"))
def listen(
    site: Annotated[Path, typer.Option(help="The site's configuration, a TOML file.", show_default=False)],
    inbox: Annotated[Path, typer.Option(help="The file that keeps documents until they are stored.")],
    address: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8086",
    credentials: Annotated[
        Path | None, typer.Option(help="Passwords of the beds (devices enroll). Default: VITALFLOW_EDGES_CREDENTIALS.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="Encrypt with it and its chain; needs --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="The private key of that certificate.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")] = False,
) -> None:
    """Receive FHIR R4 at /fhir/R4, and publish the readings of each bed as a device.

    A document is answered after it is kept on disk. Settings are environment variables, listed in .env.example.
    """
    vitals_log.configure("edges", verbose, os.environ)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with exit_on_error(PROGRAM):
        settings = EdgesSettings.read(os.environ)
        if (certificate is None) != (key is None):
            raise PermanentError("--certificate and --key go together")
        configuration = read_site(site)
        tokens = Tokens(configuration)
        encryption = None if certificate is None or key is None else ReloadingCertificate(certificate, key)
        listener = parse_receiver(address)
        require_safe(listener.host, tokens, encrypted=encryption is not None)
        if not tokens.required:
            log.warning("no source has a token_file: every program of this machine can send readings")
        with _listening(listener.host, listener.port) as taken:
            asyncio.run(_listen(settings, configuration, inbox, credentials, tokens, encryption, taken))


async def _listen(
    settings: EdgesSettings,
    site: Site,
    inbox: Path,
    credentials: Path | None,
    tokens: Tokens,
    encryption: ReloadingCertificate | None,
    taken: socket.socket,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_service(settings, site, inbox, credentials, MODEL) as service:
        intake = Intake(site, service.inbox, service.metrics)

        async def handle(body: bytes, source: Source, now: datetime, bundle: bool) -> HttpAnswer:
            return await intake.handle(body, source, now, bundle=bundle)

        server = _server(handle, tokens, encryption)
        serving = asyncio.get_running_loop().create_task(server.serve(sockets=[taken]))
        renewing = asyncio.get_running_loop().create_task(_renew(tokens, encryption))
        log.info("listening for FHIR at %s:%d/fhir/R4", *taken.getsockname()[:2])
        try:
            await service.run_until(stop)
        finally:
            renewing.cancel()
            server.should_exit = True
            await serving


def _server(handle: object, tokens: Tokens, encryption: ReloadingCertificate | None) -> "_Server":
    config = uvicorn.Config(
        fhir_application(handle, tokens),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # any client can forge these headers
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
        ssl_context_factory=None if encryption is None else lambda *_: encryption.context,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn server that leaves the signals to the service: the inbox is closed after the answers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


async def _renew(tokens: Tokens, encryption: ReloadingCertificate | None) -> None:
    while True:
        await asyncio.sleep(RENEW_INTERVAL_S)
        tokens.renew()
        if encryption is not None:
            encryption.renew()


def require_safe(host: str, tokens: Tokens, *, encrypted: bool) -> None:
    """Raise PermanentError if any machine on the network could send, or read a token."""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local and not (encrypted and tokens.required):
        raise PermanentError(
            f"other machines can reach {host}: give the listener --certificate and --key, and a source of the site "
            "a token_file, or listen on 127.0.0.1"
        )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        taken = socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise PermanentError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    with taken:
        yield taken

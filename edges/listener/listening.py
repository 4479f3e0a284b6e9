"""What each `listen` command shares: its options, and the life of its service."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from edges.config.settings import EdgesSettings
from edges.config.site import Site, read_site
from edges.listener.access import Access, Network
from edges.service.service import Service, running_service
from mqtt.server_certificate import ReloadingCertificate
from vitals import log as vitals_log
from vitals.errors import PermanentError

log = logging.getLogger("edges")

SiteFile = Annotated[Path, typer.Option("--site", help="The site's configuration, a TOML file.", show_default=False)]
InboxFile = Annotated[Path, typer.Option("--inbox", help="The file that keeps what is received until it is stored.")]
CredentialsFile = Annotated[
    Path | None,
    typer.Option("--credentials", help="Passwords of the beds (devices enroll). Default: VITALFLOW_EDGES_CREDENTIALS."),
]
CertificateFile = Annotated[
    Path | None, typer.Option("--certificate", help="Encrypt with it and its chain; needs --key.")
]
KeyFile = Annotated[Path | None, typer.Option("--key", help="The private key of that certificate.")]
CaFile = Annotated[Path | None, typer.Option("--ca", help="The CA of the senders' certificates, which they need then.")]
RevokedFile = Annotated[Path | None, typer.Option("--revoked", help="The revocation list of that CA.")]
SenderNames = Annotated[
    str,
    typer.Option("--names", help="Names of senders' certificates. Default: sender/..., of `edges senders enroll`."),
]


@dataclass(frozen=True, slots=True)
class Options:
    """The options that all services have."""

    settings: EdgesSettings
    site: Site
    inbox: Path
    credentials: Path | None


def configure_log(*, verbose: bool) -> None:
    """Log as the environment says."""
    vitals_log.configure("edges", verbose, os.environ)


def read_options(site: Path, inbox: Path, credentials: Path | None) -> Options:
    """Read settings and site; raises PermanentError that names each mistake."""
    return Options(EdgesSettings.read(os.environ), read_site(site), inbox, credentials)


def read_access(
    certificate: Path | None,
    key: Path | None,
    ca: Path | None = None,
    revoked: Path | None = None,
    names: str = "",
    networks: tuple[Network, ...] = (),
) -> Access:
    """Return who may connect by the options of a command; raises PermanentError."""
    if (certificate is None) != (key is None):
        raise PermanentError("--certificate and --key go together")
    if ca is not None and certificate is None:
        raise PermanentError("--ca needs --certificate and --key")
    if ca is None and (revoked is not None or names):
        raise PermanentError("--revoked and --names need --ca")
    tls = None if certificate is None or key is None else ReloadingCertificate(certificate, key, ca, revoked)
    return Access(networks, tls, frozenset(filter(None, (name.strip() for name in names.split(",")))))


def run_service(
    options: Options,
    model: str,
    listen: Callable[[Service], AbstractAsyncContextManager[object]],
    *,
    right_clock: bool = False,
) -> None:
    """Run the service until SIGTERM or SIGINT; raises PermanentError if it cannot go on.

    model         of the beds in their status, such as HL7 v2
    listen        receives, for the time of its block, what the inbox of the service keeps
    right_clock   whether the senders' times are right, also of readings that come late
    """

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        running = running_service(
            options.settings, options.site, options.inbox, options.credentials, model, right_clock=right_clock
        )
        async with running as service, listen(service):
            await service.run_until(stop)

    asyncio.run(run())

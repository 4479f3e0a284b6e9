"""`vitalflow edges hl7 listen`: options of the service that receives HL7."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from edges.hl7.intake import Intake
from edges.hl7.listener import serve
from edges.hl7.listener_metrics import ListenerMetrics
from edges.listener import listening as shared
from edges.listener.access import Network, parse_address, parse_networks
from edges.service.service import Service
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError

MODEL = "HL7 v2"

log = logging.getLogger("edges")
app = command_group()


@app.command(epilog=examples("vitalflow edges hl7 listen --site site.toml --inbox inbox.db"))
def listen(
    site: shared.SiteFile,
    inbox: shared.InboxFile,
    address: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:2575",
    credentials: shared.CredentialsFile = None,
    certificate: shared.CertificateFile = None,
    key: shared.KeyFile = None,
    ca: shared.CaFile = None,
    revoked: shared.RevokedFile = None,
    peers: Annotated[str, typer.Option(help="Networks that may send, with commas. Default: all.")] = "",
    names: shared.SenderNames = "",
    unframed: Annotated[bool, typer.Option("--unframed", help="Senders do not use MLLP frames.")] = False,
    verbose: Verbose = False,
) -> None:
    """Receive HL7 over MLLP, and publish the readings of each bed as a device.

    A message is acknowledged after it is kept on disk. Settings are environment variables, listed in .env.example.
    """
    shared.configure_log(verbose=verbose)
    options = shared.read_options(site, inbox, credentials)
    if certificate is not None and ca is None:
        raise PermanentError("--certificate, --key and --ca go together: a sender of HL7 has no other proof")
    access = shared.read_access(certificate, key, ca, revoked, names, _networks(peers))
    host, port = parse_address(address, "127.0.0.1:2575")
    access.require_safe(host)

    @asynccontextmanager
    async def receiving(service: Service) -> AsyncIterator[None]:
        intake = Intake(options.site, service.inbox, service.metrics, service.admissions.notify)
        async with serve(host, port, intake.handle, access, unframed=unframed) as listener:
            service.metrics.registry.register(ListenerMetrics(listener))
            log.info("listening for HL7 on %s:%d", host, listener.port)
            yield

    shared.run_service(options, MODEL, receiving)


def _networks(peers: str) -> tuple[Network, ...]:
    try:
        return parse_networks(peers)
    except ValueError as error:
        raise PermanentError(f"--peers: {error}; expected networks such as 10.0.3.0/24,10.0.4.7") from None

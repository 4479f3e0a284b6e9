"""`vitalflow edges senders`: certificates of systems that send to a listener of the edges, and of the listener."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edges.listener.access import SENDER
from identity.authority import CertificateAuthority, make_writable, write_public, write_secret
from identity.deploy import EDGES
from identity.enrolment import check_name
from identity.settings import IdentitySettings
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError

PROGRAM = "vitalflow edges senders"

Folder = Annotated[Path, typer.Option(help="Where the files are written.", file_okay=False, show_default=False)]

app = command_group(PROGRAM)


@app.callback()
def about() -> None:
    """Certificates of the systems that send to the edges, and of the listener. Needs VITALFLOW_CA_DIR."""


@app.command(epilog=examples("vitalflow edges senders enroll central-icu --folder central-icu"))
def enroll(
    name: Annotated[str, typer.Argument(help="Name of the sending system.")],
    folder: Folder,
) -> None:
    """Create a certificate with which a system may send: sender.crt, sender.key and ca.crt."""
    authority = _authority()
    check_name("sender", name)
    make_writable(folder)
    pair = authority.issue_client_pair(SENDER + name, datetime.now(UTC))
    write_public(folder / "sender.crt", pair.certificate)
    write_secret(folder / "sender.key", pair.key)
    write_public(folder / "ca.crt", authority.ca_certificate.read_bytes())
    print(f"{PROGRAM}: {name} sends with {folder / 'sender.crt'} and {folder / 'sender.key'}")


@app.command(epilog=examples("vitalflow edges senders revoke central-icu"))
def revoke(name: Annotated[str, typer.Argument(help="Name of the sending system.")]) -> None:
    """Revoke the certificates of a system: a listener with the new revoked.crl ends its connections within 10 s."""
    authority = _authority()
    if not authority.revoke(SENDER + name, datetime.now(UTC)):
        raise PermanentError(f"{name[:60]!r} has no certificate that is not revoked")
    print(f"{PROGRAM}: {name} is revoked; copy {authority.revocation_list_path} to the listeners")


@app.command("listener", epilog=examples("vitalflow edges senders listener HOST --folder edges"))
def issue_listener_certificate(
    hosts: Annotated[list[str], typer.Argument(help="Host names and addresses that senders connect to.")],
    folder: Folder,
) -> None:
    """Create or renew the certificate of the listener: edges.crt, edges.key, ca.crt and revoked.crl.

    It is valid for 90 days and renewed in the last third: run this command every week. The listener loads new files by
    itself.
    """
    authority, now = _authority(), datetime.now(UTC)
    make_writable(folder)
    pair = authority.server_pair(EDGES, hosts, now, lambda sentence: print(f"{PROGRAM}: {sentence}"))
    write_secret(folder / "edges.key", pair.key)
    write_public(folder / "edges.crt", pair.certificate)
    write_public(folder / "ca.crt", authority.ca_certificate.read_bytes())
    write_public(folder / "revoked.crl", authority.revocation_list(now))
    print(f"{PROGRAM}: the listener's files are in {folder}")


def _authority() -> CertificateAuthority:
    settings = IdentitySettings.read(os.environ)
    if settings.ca_dir is None or not (settings.ca_dir / "ca.crt").exists():
        raise PermanentError(
            "VITALFLOW_CA_DIR is not the folder of the CA; certificates are issued on the machine with the CA: "
            "export VITALFLOW_CA_DIR=.stack/identity"
        )
    return CertificateAuthority(settings.ca_dir)

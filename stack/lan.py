"""The address at which the broker accepts devices on other machines, and the names by which they reach it."""

import ipaddress
import socket
from collections.abc import Sequence

import psutil

from vitals.errors import PermanentError

LOOPBACK = "127.0.0.1"
ANY = "0.0.0.0"  # every address of this machine
ELSEWHERE = "198.51.100.1"  # reserved for documentation (RFC 5737): no machine has it, and nothing is sent to it


def check_listen_address(text: str) -> None:
    """Raise PermanentError unless a server of this machine can listen at this IPv4 address."""
    try:
        ipaddress.IPv4Address(text)
        with socket.socket() as probe:
            probe.bind((text, 0))
    except (ValueError, OSError):
        raise PermanentError(
            f"{text[:60]!r} is not an IPv4 address of this machine; expected {ANY} for all of its addresses, or one of "
            f"{', '.join(own_addresses()) or LOOPBACK}"
        ) from None


def own_addresses() -> list[str]:
    """Return the IPv4 addresses of this machine, without those that only this machine can reach."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    ]
    return sorted(one for one in found if not ipaddress.IPv4Address(one).is_loopback)


def reachable_addresses(listen: str) -> list[str]:
    """Return the addresses at which other machines reach a server that listens at `listen`."""
    if listen == ANY:
        return own_addresses()
    return [] if listen == LOOPBACK else [listen]


def device_host(listen: str, names: Sequence[str]) -> str:
    """Return the host that devices are configured with: the first of these names, else an address of this machine."""
    if names:
        return names[0]
    return _outgoing_address() if listen == ANY else listen


def _outgoing_address() -> str:
    """Return the address from which this machine reaches other networks; without any, its host name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ELSEWHERE, 9))  # chooses a route and sends nothing
        except OSError:
            return next(iter(own_addresses()), socket.gethostname())
        return str(probe.getsockname()[0])

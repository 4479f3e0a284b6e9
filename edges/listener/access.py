"""Which peers may connect to a listener of the edges."""

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from mqtt.server_certificate import ReloadingCertificate
from vitals.errors import PermanentError
from vitals.urls import is_loopback

MAX_PER_PEER = 64  # connections
LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1"))  # without that limit: a proxy here stands for many peers
SENDER = "sender/"  # before the name of a sender in its certificate; no user of the broker can have a / in its name
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect.

    networks   the peers' addresses; empty: all
    tls        the listener's certificate, and the CA of its clients if they need one; None: the connection is plain
    names      the common names of clients' certificates; empty: all that begin with SENDER. So the certificate of a
               bedside monitor does not send for other beds
    """

    networks: tuple[Network, ...] = ()
    tls: ReloadingCertificate | None = None
    names: frozenset[str] = frozenset()

    @property
    def needs_certificate(self) -> bool:
        """Whether clients need a certificate."""
        return self.tls is not None and self.tls.needs_client

    def require_safe(self, host: str) -> None:
        """Raise PermanentError if any machine on the network could send in to a listener on `host`."""
        if not is_loopback(host) and not self.needs_certificate and not self.networks:
            raise PermanentError(
                f"other machines can reach {host}, and without a certificate any of them could send readings: give "
                "the listener a certificate, its key and the CA of the clients, or name the networks that may send, "
                "such as --peers 10.0.3.0/24, or listen on 127.0.0.1"
            )

    def allows(self, address: Address) -> bool:
        """Return whether a peer with this address may connect."""
        return not self.networks or any(address in network for network in self.networks)

    def allows_name(self, name: str) -> bool:
        """Return whether a client may send whose certificate has this common name."""
        return name in self.names if self.names else name.startswith(SENDER)


class PeerCounts:
    """The number of connections of each peer."""

    def __init__(self) -> None:
        self._counts: Counter[Address] = Counter()

    def admit(self, peer: Address) -> bool:
        """Count a new connection, unless its peer has as many as it may have; return whether it is counted."""
        if self._counts[peer] >= MAX_PER_PEER and not any(peer in network for network in LOCAL):
            return False
        self._counts[peer] += 1
        return True

    def forget(self, peer: Address) -> None:
        """Count a connection no more."""
        self._counts[peer] -= 1
        if not self._counts[peer]:
            del self._counts[peer]


def parse_address(text: str, example: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; raises PermanentError that says what was expected."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise PermanentError(f"{text!a} is no address; expected HOST:PORT, like {example}")
    return host, int(port)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks in a list with commas, such as 10.0.3.0/24,10.0.4.7; raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_peer(host: str) -> Address:
    """Return the address of a peer; one of IPv4 that a socket of IPv6 accepted is one of IPv4."""
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address

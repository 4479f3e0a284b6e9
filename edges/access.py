"""Which peers may connect to a listener of the edges."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from edges.server_tls import ServerTls
from vitals.errors import PermanentError

SENDER = "sender/"  # before the name of a sender in its certificate; no user of the broker can have a / in its name
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect.

    networks   the peers' addresses; empty: all
    tls        clients need a certificate; None: the connection is plain
    names      the common names of clients' certificates; empty: all that begin with SENDER. So the certificate of a
               bedside monitor does not send for other beds
    """

    networks: tuple[Network, ...] = ()
    tls: ServerTls | None = None
    names: frozenset[str] = frozenset()

    def require_safe(self, host: str) -> None:
        """Raise PermanentError if any machine on the network could send in to a listener on `host`."""
        try:
            local = ip_address(host).is_loopback
        except ValueError:
            local = host == "localhost"
        if not local and self.tls is None and not self.networks:
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


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks in a list with commas, such as 10.0.3.0/24,10.0.4.7; raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_peer(host: str) -> Address:
    """Return the address of a peer; one of IPv4 that a socket of IPv6 accepted is one of IPv4."""
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address

"""Where the stack's broker listens for other machines, and the names by which devices reach it."""

import re

import pytest

from identity.settings import IdentitySettings
from stack.broker_access import Listeners, configuration
from stack.lan import ANY, LOOPBACK, check_listen_address, device_host, own_addresses, reachable_addresses
from stack.plan import Ports, devices_url
from vitals.errors import PermanentError

TLS_SETTINGS = {
    "max_connections",
    "certfile",
    "keyfile",
    "tls_version",
}
CERTIFICATE_SETTINGS = {"cafile", "crlfile", "require_certificate", "use_identity_as_username"}


def listeners_of(listeners: Listeners) -> list[tuple[str, str, set[str]]]:
    """Return port, address and the names of the settings of each listener."""
    text = configuration(listeners, "/srv/broker", "/plugin.so")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: list[tuple[str, str, set[str]]] = []
    for line in lines:
        if line.startswith("listener "):
            _, port, address = line.split()
            found.append((port, address, set()))
        elif found:
            found[-1][2].add(line.split()[0])
    return found


@pytest.mark.parametrize(
    ("address", "where"),
    [(LOOPBACK, (LOOPBACK,)), ("192.168.7.5", (LOOPBACK, "192.168.7.5")), (ANY, (ANY,))],
)
def test_listeners_with_tls_are_at_the_address_and_the_plaintext_one_is_not(
    address: str, where: tuple[str, ...]
) -> None:
    assert listeners_of(Listeners(8883, 8884, 1883, address=address)) == [
        *(("8883", one, TLS_SETTINGS) for one in where),
        *(("8884", one, TLS_SETTINGS | CERTIFICATE_SETTINGS) for one in where),
        ("1883", LOOPBACK, set()),
    ]


def test_websockets_listen_with_tls_where_the_others_do() -> None:
    found = listeners_of(Listeners(8883, None, websockets=8885, address="192.168.7.5"))
    settings = TLS_SETTINGS - {"tls_version"} | {"protocol"}
    assert found[2:] == [("8885", LOOPBACK, settings), ("8885", "192.168.7.5", settings)]
    assert "message_size_limit 131072" in configuration(Listeners(8883, websockets=8885), "/srv", "/plugin.so")


@pytest.mark.parametrize("listeners", [(None, None, 1883, True), (None, 8884, 1883, False)])
def test_a_broker_without_passwords_listens_to_this_machine_only(
    listeners: tuple[int | None, int | None, int, bool],
) -> None:
    with pytest.raises(PermanentError, match=re.escape("does not listen at 0.0.0.0 without TLS and passwords")):
        Listeners(*listeners, address=ANY)


@pytest.mark.parametrize("text", ["ward-gateway", "203.0.113.9", "::1", "", "127.0.0.1:1883"])
def test_what_is_no_address_of_this_machine_is_one_sentence(text: str) -> None:
    with pytest.raises(PermanentError, match=r"is not an IPv4 address of this machine; expected 0\.0\.0\.0"):
        check_listen_address(text)


@pytest.mark.parametrize("address", [LOOPBACK, "127.0.0.2", ANY])
def test_addresses_of_this_machine_pass(address: str) -> None:
    check_listen_address(address)


def test_the_certificate_is_for_every_address_at_which_the_broker_is_reached() -> None:
    assert reachable_addresses(LOOPBACK) == []
    assert reachable_addresses("127.0.0.2") == ["127.0.0.2"]
    assert reachable_addresses(ANY) == own_addresses()
    assert not any(address.startswith("127.") for address in own_addresses())


def test_devices_get_the_first_name_of_the_broker_or_its_address() -> None:
    names = {"VITALFLOW_BROKER_HOSTNAMES": "vitals.example.org, vitals-2"}
    assert devices_url(Ports(2000, ANY), names) == "mqtts://vitals.example.org:2000"
    assert devices_url(Ports(2000, "192.168.7.5"), {}) == "mqtts://192.168.7.5:2000"
    assert devices_url(Ports(2000), names) is None, "no other machine can connect"
    assert device_host(ANY, []) not in (ANY, "")


def test_spaces_between_names_of_the_broker_are_ignored() -> None:
    settings = IdentitySettings.read({"VITALFLOW_BROKER_HOSTNAMES": " a.example.org,, b "})
    assert settings.further_broker_names == ["a.example.org", "b"]

"""Attempts to exceed a client's rights, case by case; `test_broker_authorization.py` makes each of them.

A case is an attempt with the exact answer that it must get, and beside it what the same client, or one that may, is
allowed to do in the same way: so a listener that is closed to everyone fails the test. What nurses, read-only users and
administrators may do is in tests/integration/test_user_roles.py too, action by action.
"""

import os
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from identity.enrolment import check_name
from tests.fixtures.running_stack import RunningStack
from tests.support.mqtt_probe import NOTHING, MqttProbe, connects, publish_packet, publishes, subscribes
from vitals.errors import PermanentError

Attempt = Callable[[RunningStack], str]
NO = "Not authorized"
CONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab"
ENROLMENT = (
    b'{"time":"2026-11-23T10:00:00Z","by":"a test","action":"enrolled","name":"x","kind":"device","ward":"icu-1"}'
)
SIGN_IN = b'{"time":"2026-11-23T10:00:00Z","action":"signed_in","by":"a test"}'
YES = ("Success", "No matching subscribers", "Granted QoS 1")


@dataclass(frozen=True)
class Case:
    """`denied` must answer `why`, a part of it; `allowed` must answer one of YES."""

    name: str
    denied: Attempt
    why: str
    allowed: Attempt


def comes_in(user: str) -> Attempt:
    """Connect as a user who may."""
    return lambda running_stack: connects(running_stack.user(user), running_stack.id_of(user))


def pub(user: str, topic: str, payload: bytes = b"{}") -> Attempt:
    """Publish below the root."""
    return lambda running_stack: publishes(
        running_stack.user(user), running_stack.id_of(user), topic_of(topic), payload
    )


def sub(user: str, topic: str) -> Attempt:
    """Subscribe below the root."""
    return lambda running_stack: subscribes(running_stack.user(user), running_stack.id_of(user), topic_of(topic))


def topic_of(short: str) -> str:
    return short if short[0] in "$#+" else f"vitalflow/{short}"


def bad_name(name: str) -> Attempt:
    """Enrol a device of that name, and of a ward of that name; the sentence."""

    def attempt(_world: RunningStack) -> str:
        for what in ("device", "ward"):
            try:
                check_name(what, name)
            except PermanentError as refused:
                said = str(refused)
            else:
                return f"a {what} may be called so"
        return said

    return attempt


def good_name(name: str) -> Attempt:
    def attempt(_world: RunningStack) -> str:
        check_name("device", name)
        return "Success"

    return attempt


# --- coming in ---


def in_plain_text(running_stack: RunningStack) -> str:
    """A CONNECT of MQTT 3.1.1, not encrypted."""
    with socket.create_connection(("127.0.0.1", running_stack.ports.broker), 5) as sock:
        sock.sendall(CONNECT)
        try:
            answer = sock.recv(100)
        except ConnectionResetError:
            answer = b""
    return "CONNACK" if answer[:1] == b"\x20" else "no CONNACK"


def encrypted(port: int, context: ssl.SSLContext, name: str = "127.0.0.1") -> str:
    """A CONNECT without a name, encrypted so; what TLS says against it, or MQTT."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        try:
            with context.wrap_socket(sock, server_hostname=name) as tls:
                tls.sendall(CONNECT)
                answer = tls.recv(100)
        except ssl.SSLError as error:
            return str(error)
    return {b"\x00": "Success", b"\x05": NO}.get(answer[3:4], f"answered {answer!r}")


def trusting_another_ca(running_stack: RunningStack) -> str:
    return encrypted(
        running_stack.ports.broker, ssl.create_default_context(cafile=str(running_stack.folder / "another-ca.crt"))
    )


def in_the_brokers_place(name: str) -> Attempt:
    """Answer a device as the broker does, with a certificate that is called `name`; what the device says."""

    def attempt(running_stack: RunningStack) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(running_stack.folder / f"{name}.crt", running_stack.folder / f"{name}.key")
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def answer() -> None:
                sock, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(sock, server_side=True) as tls:
                    tls.recv(100)

            threading.Thread(target=answer, daemon=True).start()
            return encrypted(listener.getsockname()[1], ssl.create_default_context(cafile=str(running_stack.ca)))

    return attempt


def fetches(path: str) -> Attempt:
    """GET a path from the station as it stands, without a client that would tidy it up."""

    def attempt(running_stack: RunningStack) -> str:
        asked = HTTPConnection("127.0.0.1", running_stack.ports.station, timeout=5)
        asked.request("GET", path)
        answer = asked.getresponse()
        content = answer.read()
        asked.close()
        assert b"PRIVATE KEY" not in content
        assert b"root:" not in content
        return "Success" if answer.status == 200 else str(answer.status)

    return attempt


def by_another_name(running_stack: RunningStack) -> str:
    return encrypted(
        running_stack.ports.broker, ssl.create_default_context(cafile=str(running_stack.ca)), "evil.example"
    )


def with_old_tls(running_stack: RunningStack) -> str:
    context = ssl.create_default_context(cafile=str(running_stack.ca))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return encrypted(running_stack.ports.broker, context)


def card(name: str | None) -> Attempt:
    """Connect to the port for certificates with one, or without."""

    def attempt(running_stack: RunningStack) -> str:
        context = ssl.create_default_context(cafile=str(running_stack.ca))
        # TLS 1.3 tells a refusal after the handshake, when we may be sending already and hear only its end.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if name is not None:
            context.load_cert_chain(running_stack.folder / f"{name}.crt", running_stack.folder / f"{name}.key")
        return encrypted(running_stack.ports.certificates, context)

    return attempt


def card_publishes(name: str, device: str) -> Attempt:
    return lambda running_stack: publishes(running_stack.card(name), "", f"vitalflow/vitals/icu-1/{device}")


# --- sessions of others ---


def takes(user: str, client_id: Callable[[RunningStack], str]) -> Attempt:
    """Connect with the client id of another user."""
    return lambda running_stack: connects(running_stack.user(user), client_id(running_stack))


def finds_session(user: str, client_id: str) -> Attempt:
    """Ask for a session that a service has under that name; what the broker gives is a new and empty one."""

    def attempt(running_stack: RunningStack) -> str:
        with MqttProbe(running_stack.user(user), client_id, clean=False) as guest:
            return "the session" if guest.session_present else "no session of that id"

    return attempt


def own_session(running_stack: RunningStack) -> str:
    """One's own session is there again."""
    name = f"own-{os.getpid()}"
    MqttProbe(running_stack.user("grace"), name, clean=False).drop_connection()
    with MqttProbe(running_stack.user("grace"), name, clean=False) as again:
        return "Success" if again.session_present else "no session"


def will(user: str, topic: str) -> Attempt:
    """Die with a will; report whether a subscriber receives it."""

    def attempt(running_stack: RunningStack) -> str:
        with MqttProbe(running_stack.user("grace")) as watching:
            assert watching.subscribe("vitalflow/status/#") in YES
            while watching.next_topic(0.3) != NOTHING:
                pass  # what is retained
            MqttProbe(running_stack.user(user), running_stack.id_of(user), will=topic_of(topic)).drop_connection()
            until = time.monotonic() + 3
            while time.monotonic() < until:
                if watching.next_topic(0.5) == topic_of(topic):
                    return "Success"
        return "the will was not published"

    return attempt


# --- what no honest client sends ---


def raw(topic: bytes, payload: bytes = b"") -> Attempt:
    def attempt(running_stack: RunningStack) -> str:
        with MqttProbe(running_stack.user("bed-1"), running_stack.id_of("bed-1")) as guest:
            assert guest.connected == "Success"
            return guest.raw(publish_packet(topic, payload, b"\x00\x01\x00"))

    return attempt


def readable_by_others(running_stack: RunningStack) -> str:
    copy = Path(running_stack.folder / "readable.json")
    copy.write_bytes(running_stack.home.credentials.read_bytes())
    copy.chmod(0o644)
    return credentials(copy)


def credentials(path: Path) -> str:
    from mqtt.credentials import read_credentials

    try:
        read_credentials(path)
    except PermanentError as refused:
        return str(refused)
    return "Success"


OWN = pub("bed-1", "vitals/icu-1/bed-1")
OWN_RECEIPTS = sub("bed-1", "receipts/icu-1/bed-1")
OWN_WARD = sub("ada", "vitals/icu-1/#")
OWN_ACK = pub("ada", "alert-commands/icu-1/bed-1/spo2-low/ada", b'{"action":"acknowledge"}')
COMMAND = b'{"commands":[{"command":"listClients"}]}'

PAYLOADS = {
    "ACKNOWLEDGE": b'{"action":"acknowledge"}',
    "COMMAND": COMMAND,
    "EMPTY": b"",
    "ENROLMENT": ENROLMENT,
    "RECEIPT": b'{"boot":1,"stored":[]}',
    "SIGN_IN": SIGN_IN,
}
BY_ADMIN = pub("admin", "$CONTROL/dynamic-security/v1", COMMAND)
PERMITTED = {
    "OWN": OWN, "OWN_RECEIPTS": OWN_RECEIPTS, "OWN_WARD": OWN_WARD, "OWN_ACK": OWN_ACK, "BY_ADMIN": BY_ADMIN,
}  # fmt: skip

# What is attempted | the attempt, which is not authorized | what is permitted in the same way.
NOT_AUTHORIZED = """
# Coming in.
connect as an unknown user | connect mallory | connect ada
come back after having been revoked | connect gone | connect bed-1
# A device.
publish as another device | pub bed-1 vitals/icu-1/bed-2 | OWN
publish for another ward | pub bed-1 vitals/icu-2/bed-1 | OWN
publish below one's own topic | pub bed-1 vitals/icu-1/bed-1/more | OWN
tell the status of another device | pub bed-1 status/icu-1/bed-2 | pub bed-1 status/icu-1/bed-1
forge an alert as a device | pub bed-1 alerts/icu-1/bed-1/spo2-low | pub alerts alerts/icu-1/bed-1/spo2-low EMPTY
acknowledge as a device | pub bed-1 alert-commands/icu-1/bed-1/spo2-low | OWN_ACK
acknowledge as a device in a person's name | pub bed-1 alert-commands/icu-1/bed-1/spo2-low/ada | OWN_ACK
forge a receipt for oneself | pub bed-1 receipts/icu-1/bed-1 | pub ingest receipts/icu-1/bed-1 RECEIPT
forge a receipt for another device | pub bed-1 receipts/icu-1/bed-2 | pub ingest receipts/icu-1/bed-2 RECEIPT
move one's own limits | pub bed-1 limits/icu-1/bed-1 | pub station limits/icu-1/none EMPTY
read which patient is assigned to a bed as a device | sub bed-1 assignments/icu-1/bed-1 | sub bed-1 limits/icu-1/bed-1
assign a patient to one's own bed | pub bed-1 assignments/icu-1/bed-1 | pub station assignments/icu-1/none EMPTY
say that a service is there | pub bed-1 services/ingest | pub station services/station
write into the record of enrolments | pub bed-1 audit/enrolment | pub admin audit/enrolment ENROLMENT
record a sign-in in another's name | pub ada audit/sign-in SIGN_IN | pub station audit/sign-in SIGN_IN
read the changes of passwords as the station | sub station accounts/+/password | sub station accounts/+/salt
replace the salt of one's own password | pub ada accounts/ada/salt EMPTY | pub admin accounts/none/salt EMPTY
publish a number of the broker's own | pub bed-1 $SYS/broker/publish/messages/dropped | OWN
command the security plugin as a device | pub bed-1 $CONTROL/dynamic-security/v1 COMMAND | BY_ADMIN
subscribe to everything as a device | sub bed-1 # | OWN_RECEIPTS
subscribe by wildcards of every level | sub bed-1 +/+/+/+ | OWN_RECEIPTS
subscribe to one's ward by a wildcard | sub bed-1 vitals/icu-1/+ | OWN_RECEIPTS
read what one publishes oneself | sub bed-1 vitals/icu-1/bed-1 | OWN_RECEIPTS
read the receipts of another device | sub bed-1 receipts/icu-1/bed-2 | OWN_RECEIPTS
read the receipts by a wildcard | sub bed-1 receipts/icu-1/+ | OWN_RECEIPTS
read alerts as a device | sub bed-1 alerts/icu-1/bed-1/+ | sub bed-1 limits/icu-1/bed-1
read the broker's numbers as a device | sub bed-1 $SYS/# | sub alerts $SYS/broker/messages/stored
read the broker's log, which names client ids | sub alerts $SYS/broker/log/# | sub ingest $SYS/broker/log/N
read the report of logins | sub grace services/ingest/logins | sub admin services/ingest/logins
stand by for another service | pub alerts services/ingest/standby | pub ingest services/ingest/standby
# People.
read another ward | sub ada vitals/icu-2/# | OWN_WARD
read all wards | sub ada vitals/# | OWN_WARD
read all wards by a wildcard for the ward | sub ada vitals/+/bed-9 | OWN_WARD
read one device of another ward | sub ada vitals/icu-2/bed-9 | OWN_WARD
read the alerts of another ward | sub ada alerts/icu-2/+/+ | sub ada alerts/icu-1/+/+
read the status of another ward | sub ada status/icu-2/+ | sub ada status/icu-1/+
read another ward through a shared subscription | sub ada $share/x/vitalflow/vitals/icu-2/# | OWN_WARD
read everything as a person | sub grace # | sub grace vitals/#
read receipts as a person | sub grace receipts/# | sub grace alerts/#
read who was enrolled | sub grace audit/# | sub ingest audit/#
acknowledge without a name | pub ada alert-commands/icu-1/bed-1/spo2-low | OWN_ACK
read what another person says | sub ada alert-commands/icu-1/+/+/grace | sub ada alert-commands/icu-1/+/+/ada
read one's own word as who may only read | sub eve alert-commands/icu-1/+/+/eve | sub ada alert-commands/icu-1/+/+/ada
publish vitals as a person | pub grace vitals/icu-1/bed-1 | OWN
forge an alert as a person | pub grace alerts/icu-1/bed-1/spo2-low | pub alerts alerts/icu-1/bed-1/none EMPTY
move limits as a person without the station | pub grace limits/icu-1/bed-1 | pub station limits/icu-1/none EMPTY
make a device forgotten | pub grace status/icu-1/bed-1 EMPTY | pub admin status/icu-1/none EMPTY
command the security plugin as a person | pub grace $CONTROL/dynamic-security/v1 COMMAND | BY_ADMIN
# Services, should one of them be taken over.
forge an alert as ingest | pub ingest alerts/icu-1/bed-1/spo2-low | pub alerts alerts/icu-1/bed-1/none EMPTY
publish rules as ingest | pub ingest services/alerts/rules EMPTY | sub ingest services/alerts/rules
acknowledge as ingest | pub ingest alert-commands/icu-1/bed-1/spo2-low/ada | OWN_ACK
acknowledge for a person as the station | pub station alert-commands/icu-1/bed-1/spo2-low/ada | OWN_ACK
acknowledge without a name as the station | pub station alert-commands/icu-1/bed-1/spo2-low | OWN_ACK
publish vitals as ingest | pub ingest vitals/icu-1/bed-1 | OWN
forge a receipt as alerts | pub alerts receipts/icu-1/bed-1 | pub ingest receipts/icu-1/bed-1 RECEIPT
publish vitals as alerts | pub alerts vitals/icu-1/bed-1 | OWN
forge an alert as the station | pub station alerts/icu-1/bed-1/spo2-low | pub alerts alerts/icu-1/bed-1/none EMPTY
forge a receipt as the station | pub station receipts/icu-1/bed-1 | pub ingest receipts/icu-1/bed-1 RECEIPT
say that another service is there | pub station services/alerts | pub station services/station
command the security plugin as ingest | pub ingest $CONTROL/dynamic-security/v1 COMMAND | BY_ADMIN
read vitals as who enrols | sub admin vitals/# | sub ingest vitals/#
publish vitals as who enrols | pub admin vitals/icu-1/bed-1 | OWN
# Bridges between brokers.
read vitals as the mirror of a pair | sub mirror-b vitals/# | sub mirror-b alerts/+/+/+
read presence as the mirror of a pair | sub mirror-b status/# | sub mirror-b limits/+/+
read password changes as the mirror of a pair | sub mirror-b accounts/+/password | sub mirror-b accounts/+/salt
publish limits as the mirror of a pair | pub mirror-b limits/icu-1/bed-1 | pub station limits/icu-1/none EMPTY
publish vitals of another ward as the broker of a ward | pub edge-1 vitals/icu-2/bed-9 | pub edge-1 vitals/icu-1/bed-1
acknowledge as the broker of a ward | pub edge-1 alert-commands/icu-1/bed-1/spo2-low/ada | OWN_ACK
"""


def attempt_of(text: str) -> Attempt:
    """Return the attempt of a column: a verb, a user, a topic below the root and the name of a payload."""
    if text in PERMITTED:
        return PERMITTED[text]
    verb, user, *what = text.split()
    if verb == "connect":
        return comes_in(user)
    topic, *payload = what
    return sub(user, topic) if verb == "sub" else pub(user, topic, *(PAYLOADS[name] for name in payload))


def rows(table: str) -> list[Case]:
    lines = (line.split(" | ") for line in table.strip().splitlines() if not line.startswith("# "))
    return [Case(name, attempt_of(denied), NO, attempt_of(allowed)) for name, denied, allowed in lines]


CASES = [
    *rows(NOT_AUTHORIZED),
    # Coming in.
    Case("connect without a name", lambda running_stack: connects(running_stack.anonymous), NO, comes_in("grace")),
    Case("come in without encryption", in_plain_text, "no CONNACK", comes_in("grace")),
    Case(
        "come in with a wrong password",
        lambda running_stack: connects(
            running_stack.user("bed-1").as_user("bed-1", "a guess"), running_stack.id_of("bed-1")
        ),
        NO,
        comes_in("bed-1"),
    ),
    Case(
        "be taken for the broker with another CA", trusting_another_ca, "certificate verify failed", comes_in("grace")
    ),
    Case(
        "be taken for the broker with a certificate of another CA of the same name",
        in_the_brokers_place("server-of-another"),
        "certificate verify failed",
        comes_in("grace"),
    ),
    Case(
        "be taken for the broker with a certificate that has expired",
        in_the_brokers_place("server-of-yesterday"),
        "certificate has expired",
        comes_in("grace"),
    ),
    Case("be taken for another host", by_another_name, "Hostname mismatch", comes_in("grace")),
    Case("come in with TLS 1.1", with_old_tls, "protocol", comes_in("grace")),
    Case(
        "come in without a certificate where one is needed",
        card(None),
        "handshake failure",
        card("card-1"),
    ),
    Case("come in with a certificate of another CA of the same name", card("foreign"), "alert", card("card-1")),
    Case("come in with an expired certificate", card("expired"), "certificate expired", card("card-1")),
    Case("come in with a certificate that is not valid yet", card("early"), "bad certificate", card("card-1")),
    Case("come in with a revoked certificate", card("card-2"), "certificate revoked", card("card-1")),
    Case("come in with a server's certificate", card("server"), "alert", card("card-1")),
    Case(
        "publish with a certificate of which no user is enrolled",
        card_publishes("stranger", "stranger"),
        NO,
        card_publishes("card-1", "card-1"),
    ),
    Case(
        "publish as another device with a certificate",
        card_publishes("card-1", "bed-1"),
        NO,
        card_publishes("card-1", "card-1"),
    ),
    # A device.
    Case(
        "leave a will for another device",
        will("bed-1", "status/icu-1/bed-2"),
        "the will was not published",
        will("bed-1", "status/icu-1/bed-1"),
    ),
    Case(
        "silence an alert by emptying its topic",
        pub("bed-1", "alerts/icu-1/bed-1/no-data", b""),
        NO,
        pub("alerts", "alerts/icu-1/bed-1/none", b""),
    ),
    Case(
        "take part in a shared subscription",
        sub("bed-1", "$share/ingest/vitalflow/vitals/#"),
        NO,
        sub("ingest", "$share/ingest/vitalflow/vitals/none/#"),
    ),
    *(
        Case(
            f"read the broker's errors as {user}, which ends the broker when the reader is killed",
            sub(user, "$SYS/broker/log/E"),
            NO,
            sub(user, "$SYS/broker/log/N"),
        )
        for user in ("ingest", "admin")
    ),
    Case(
        "read the report of logins as alerts, which reads the status above it",
        sub("alerts", "services/ingest/logins"),
        NO,
        sub("alerts", "services/ingest"),
    ),
    Case(
        "publish into the check of a broker by another service",
        pub("alerts", "services/ingest/probe/window"),
        NO,
        pub("ingest", "services/ingest/probe/window"),
    ),
    Case(
        "share what ingest receives as another service",
        sub("alerts", "$share/probe/vitalflow/services/ingest/probe/shared"),
        NO,
        sub("ingest", "$share/probe/vitalflow/services/ingest/probe/shared"),
    ),
    Case(
        "read the security plugin's answers",
        sub("bed-1", "$CONTROL/dynamic-security/v1/response"),
        NO,
        sub("admin", "$CONTROL/dynamic-security/v1/response"),
    ),
    # A sender of alerts to other systems.
    *(
        Case(f"{what} as a sender to other systems", denied, NO, sub("sender", "alerts/#"))
        for what, denied in (
            ("publish vitals", pub("sender", "vitals/icu-1/bed-1")),
            ("end an alert", pub("sender", "alerts/icu-1/bed-1/spo2-low", b"")),
            ("acknowledge", pub("sender", "alert-commands/icu-1/bed-1/spo2-low/sender")),
            ("report another service", pub("sender", "services/ingest")),
            ("read assignments", sub("sender", "assignments/#")),
            ("read admissions and sign-ins", sub("sender", "audit/#")),
            ("read everything", sub("sender", "#")),
        )
    ),
    # Sessions.
    Case(
        "take over the connection of another device",
        takes("bed-1", lambda running_stack: running_stack.id_of("bed-2")),
        NO,
        comes_in("bed-1"),
    ),
    Case("connect as a device under another id", takes("bed-1", lambda _: "bed-1"), NO, comes_in("bed-1")),
    Case(
        "take over the session of ingest as a device",
        takes("bed-1", lambda running_stack: running_stack.user("ingest").client_id("ingest")),
        NO,
        comes_in("bed-1"),
    ),
    Case(
        "find the session of ingest by its name", finds_session("eve", "ingest"), "no session of that id", own_session
    ),
    Case(
        "find the session of alerts by its name", finds_session("eve", "alerts"), "no session of that id", own_session
    ),
    # People.
    Case(
        "read what was refused to another person",
        sub("ada", "services/alerts/rejections/grace"),
        NO,
        sub("ada", "services/alerts/rejections/ada"),
    ),
    Case(
        "assign a patient as a person without the station",
        pub("grace", "assignments/icu-1/bed-1"),
        NO,
        pub("admin", "assignments/icu-1/none", b""),
    ),
    # Bridges between brokers.
    Case(
        "clear an alert of another ward as the broker of a ward",
        pub("edge-1", "alerts/icu-2/bed-9/no-data", b""),
        NO,
        pub("edge-1", "alerts/icu-1/none/no-data", b""),
    ),
    Case(
        "read commands of another ward as the broker of a ward",
        sub("edge-1", "alert-commands/icu-2/+/+/+"),
        NO,
        sub("edge-1", "alert-commands/icu-1/+/+/+"),
    ),
    Case(
        "report the presence of the centre's alert worker as the broker of a ward",
        pub("edge-1", "services/alerts"),
        NO,
        pub("edge-1", "services/alerts-edge-1"),
    ),
    # Names that are more than a name.
    Case("be enrolled as every device", bad_name("+"), "cannot be used", good_name("bed 7 (été)")),
    Case("be enrolled as everything", bad_name("#"), "cannot be used", good_name("bed-7")),
    Case(
        "be enrolled as a device of another ward",
        bad_name("bed-1/../../icu-2/bed-9"),
        "cannot be used",
        good_name("bed..7"),
    ),
    Case("be enrolled with a NUL", bad_name("bed\x007"), "cannot be used", good_name("bed-7")),
    Case("be enrolled with a line end", bad_name("bed\n7"), "cannot be used", good_name("bed-7")),
    Case("be enrolled with a name of 64 KiB", bad_name("b" * 65_536), "cannot be used", good_name("b" * 200)),
    Case("be enrolled as a folder above", bad_name(".."), "cannot be used", good_name("...")),
    Case("publish to a topic with a wildcard", raw(b"vitalflow/vitals/icu-1/+"), "disconnected: ", OWN),
    Case("publish to a topic with a NUL", raw(b"vitalflow/vitals/icu-1/bed-1\x00"), "disconnected: ", OWN),
    Case("publish to a topic that is not UTF-8", raw(b"vitalflow/vitals/icu-1/\xff"), "disconnected: ", OWN),
    Case("publish to a topic of 64 KiB", pub("bed-1", "v" * 65_000), NO, OWN),
    Case("publish to a topic of a thousand levels", raw(b"/" * 1000), "disconnected: ", OWN),
    Case(
        "publish more than a message may have",
        raw(b"vitalflow/vitals/icu-1/bed-1", b"x" * 140_000),
        "disconnected: ",
        pub("bed-1", "vitals/icu-1/bed-1", b"x" * 120_000),
    ),
    # Paths.
    Case("fetch a file by its path", fetches("/static/../../../../../../etc/passwd"), "40", fetches("/signin")),
    Case(
        "fetch a file by a path in code", fetches("/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd"), "40", fetches("/signin")
    ),
    Case("fetch a file by a path in double code", fetches("/static/%252e%252e/web.py"), "40", fetches("/signin")),
    Case("fetch a file by a whole path", fetches("/static//etc/passwd"), "40", fetches("/signin")),
    Case("fetch the key of the CA", fetches("/.stack/identity/ca.key"), "40", fetches("/signin")),
    # Files.
    Case(
        "have passwords read by others",
        readable_by_others,
        "others can read it (mode 0644): chmod 600",
        lambda running_stack: credentials(running_stack.home.credentials),
    ),
]

"""Why a device's readings do not arrive: observations of one device in, findings out. Pure; the caller passes the time.

A finding is a sentence about what is wrong and a sentence of what to do. `vitalflow devices doctor` collects the
observations and prints the findings.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum

from vitals.alert_format import format_duration, sanitize
from vitals.clock import RIGHT, DeviceClock
from vitals.codec import Reason, TimeWindow, decode, find_repeated_keys, find_unknown_keys
from vitals.patient_change import PatientTracker
from vitals.payload import decode_foreign, is_json
from vitals.reading import FullReading, Reading, sign_values
from vitals.recording.marks import bad_mark
from vitals.recording.names import plain
from vitals.signs import KEYS_ELSEWHERE, NO_VALUES_ELSEWHERE, SIGN_KEYS, SIGNS
from vitals.status import Status, decode_status
from vitals.thresholds import SILENT_AFTER, STALE_AFTER
from vitals.topics import InvalidTopic, Topics

MAX_NAMES = 20  # distinct keys, patient ids, topics and reasons that are kept; a device may invent any number
MAX_TEXT = 200  # characters of foreign text in a line
CERTIFICATE_DUE = timedelta(days=30)

ADVICE = {
    Reason.TOO_LARGE: "send smaller arrays of readings",
    Reason.NOT_JSON: "send one JSON object per message, in UTF-8",
    Reason.NOT_A_READING: f'send objects such as {{"time": "2026-11-22T10:00:00Z", "{SIGN_KEYS[0]}": 72}}',
    Reason.EMPTY_ARRAY: "send at least one reading per message",
    Reason.NO_TIME: 'add "time", such as "2026-11-22T10:00:00Z"',
    Reason.BAD_TIME: 'write "time" as RFC 3339 with an offset, such as "2026-11-22T10:00:00Z"',
    Reason.CLOCK_AHEAD: "set the device's clock, for instance by NTP",
    Reason.TOO_OLD: "set the device's clock, or for old recordings raise VITALFLOW_RAW_RETENTION_DAYS",
    Reason.BAD_FIELD: "send the field as the detail says",
    Reason.BAD_TEXT: "send printable text of at most 200 characters",
    Reason.NO_SIGN: "name the signs as in docs/wire-format.md: " + ", ".join(SIGN_KEYS),
    Reason.IMPLAUSIBLE: "check the unit and the sensor; send no value while a sensor measures nothing",
    Reason.CONTRADICTION: "leave the value out while sensor_off names the sign",
    Reason.BAD_STATUS: 'send a status such as {"state": "online"}, or none',
}
_NAMES_ELSEWHERE = {
    **KEYS_ELSEWHERE,
    "time": "timestamp ts datetime",
    "patient_id": "patient",
    "seq": "sequence",
}
FIELDS = FullReading.__struct_fields__
_KEYS = {plain(name): key for key in FIELDS for name in (key, *_NAMES_ELSEWHERE.get(key, "").split())}
"""Plain names of the keys here and in other systems."""
UNCHANGED_READINGS = 25  # the doctor observes for 30 s by default


class Severity(StrEnum):
    """Severity of a finding. WRONG: data is missing or wrong; NOTE: for information."""

    WRONG = "WRONG"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding, and advice to correct it."""

    severity: Severity
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """State of the device at the broker and the CA.

    kind               of the broker's user; empty: no such user
    similar            enrolled names that resemble the device's
    client_id          the only one that its password works with; empty: any
    certificate_ends   end of its newest certificate; None: none is known here
    """

    kind: str
    ward: str | None = None
    client_id: str = ""
    similar: Sequence[str] = ()
    certificate_ends: datetime | None = None
    certificate_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused logins with one client id."""

    client_id: str
    count: int
    last: datetime


@dataclass(slots=True)
class Connection:
    """State of the device's connection.

    since, address, protocol   of its last known login; None and empty if none was seen
    ended                      how the connection ended; empty: it did not
    logins                     number of logins that were seen
    refused                    refused logins of any client, because the broker does not name their user
    """

    since: datetime | None = None
    address: str = ""
    protocol: str = ""
    ended: str = ""
    logins: int = 0
    refused: list[Refused] = field(default_factory=list)


class Observations:
    """The messages of one device."""

    def __init__(self, topics: Topics, device: str, retention: timedelta, begin: datetime) -> None:
        self._topics = topics
        self._retention = retention
        self.device = device
        self.begin = begin
        self.messages = 0
        self.readings = 0
        self.backlog = 0  # readings that came in arrays of several
        self.qos0 = 0
        self.topics: Counter[str] = Counter()
        self.wards: set[str] = set()
        self.rejected: Counter[tuple[Reason, str]] = Counter()
        self.rejected_messages = 0
        self.nearly_json = 0  # messages that were read although they are no JSON
        self.unknown_keys: Counter[str] = Counter()
        self.repeated_keys: Counter[str] = Counter()
        self.bad_marks: Counter[str] = Counter()  # beside values, and not read
        self.ranges: dict[str, tuple[float, float, int]] = {}  # by sign: lowest, highest, and number of values
        self.no_values: Counter[tuple[str, float]] = Counter()  # sign and value of NO_VALUES_ELSEWHERE
        self.patients: Counter[str | None] = Counter()
        self.missing = 0  # numbers between two that arrived
        self.repeated = 0  # numbers that do not rise
        self.boots: set[int] = set()
        self.numbered = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.status: Status | None = None
        self._last_seq: dict[int, int] = {}
        self._clock = DeviceClock(STALE_AFTER)
        self._patient = PatientTracker()

    def take(
        self, topic: str, payload: bytes, arrival: datetime, *, qos: int = 1, retained: bool = False
    ) -> str | None:
        """Take a message of the device; return a line that describes it, None for one of another device."""
        try:
            kind, bed = self._topics.parse(topic)
        except InvalidTopic:
            return None
        if bed.device != self.device or kind not in ("vitals", "status"):
            return None
        if kind == "status":
            return self._take_status(payload, retained)
        if retained:
            return None
        self.messages += 1
        self.qos0 += qos == 0
        self.wards.add(bed.ward)
        if topic in self.topics or len(self.topics) < MAX_NAMES:
            self.topics[topic] += 1
        if self.first_at is None:
            self.first_at = arrival
        self.last_at = arrival
        window = TimeWindow.at(arrival, self._retention)
        decoded = decode(payload, window, self._topics.time_of_arrival(bed, arrival))
        self.readings += len(decoded.readings)
        self.nearly_json += bool(decoded.readings) and not is_json(payload)
        self.backlog += len(decoded.readings) if len(decoded.readings) > 1 else 0
        for reading in decoded.readings:
            self._take_reading(reading, arrival)
        unknown = find_unknown_keys(payload) if decoded.unknown_keys else ()
        repeated = find_repeated_keys(payload) if decoded.readings else ()
        marks = _bad_marks(payload) if decoded.unknown_keys and decoded.readings else ()
        for counter, keys in ((self.unknown_keys, unknown), (self.repeated_keys, repeated), (self.bad_marks, marks)):
            for key in keys:
                if key in counter or len(counter) < MAX_NAMES:
                    counter[key] += 1
        rejection = decoded.rejection()
        if rejection is None:
            return "accepted  " + ", ".join(describe(reading) for reading in decoded.readings[-1:])
        self.rejected_messages += 1
        for problem in decoded.problems[:MAX_NAMES]:
            key_of = (problem.reason, printable(problem.detail))
            same = next((known for known in self.rejected if known[0] is problem.reason), key_of)
            self.rejected[same] += 1  # the first detail of each reason stands for all
        part = "in part" if decoded.readings else "whole"
        return f"rejected {part}  {rejection.reason}: {printable(rejection.detail)}"

    def finish(self, now: datetime) -> None:
        """Place the readings that the clock held back, because no further reading follows."""
        self._clock.settle(now + STALE_AFTER)

    def expected_topic(self, ward: str) -> str:
        """Return the topic of the device's readings in this ward."""
        return self._topics.vitals(ward, self.device)

    @property
    def offset(self) -> timedelta | None:
        """The offset from the device's time to the time of arrival, as in the alarms; None: unknown."""
        return self._clock.offset

    @property
    def interval(self) -> timedelta | None:
        """The usual time between two readings."""
        return self._clock.interval

    def alternates(self, now: datetime) -> bool:
        """Return whether two patient ids alternate."""
        return self._patient.alternates(now)

    def _take_status(self, payload: bytes, retained: bool) -> str | None:
        status: Status | None = None
        try:
            status, problem = decode_status(payload)
        except ValueError as error:
            problem = str(error)
        if problem is not None:
            self.rejected[Reason.BAD_STATUS, printable(problem)] += 1
        if status is None:
            return f"rejected  {Reason.BAD_STATUS}: {printable(problem or '')}"
        self.status = status
        if status.state == "online":
            self._clock.right_within = status.right_within(STALE_AFTER)
        return f"status  {status.state}{' (retained)' if retained else ''}"

    def _take_reading(self, reading: Reading, arrival: datetime) -> None:
        self._clock.add(reading, arrival)
        self._patient.observe(reading.patient_id, reading.boot, arrival)
        for key, value in zip(SIGN_KEYS, sign_values(reading), strict=True):
            if value is not None:
                low, high, count = self.ranges.get(key, (value, value, 0))
                self.ranges[key] = min(low, value), max(high, value), count + 1
                if (key, value) in NO_VALUES_ELSEWHERE:
                    self.no_values[key, value] += 1
        if reading.patient_id in self.patients or len(self.patients) < MAX_NAMES:
            self.patients[reading.patient_id] += 1
        if not reading.seq:
            return
        self.numbered += 1
        if reading.boot not in self.boots and len(self.boots) >= MAX_NAMES:
            return
        self.boots.add(reading.boot)
        last = self._last_seq.get(reading.boot)
        if last is not None:
            self.missing += max(0, reading.seq - last - 1)
            self.repeated += reading.seq <= last
        self._last_seq[reading.boot] = max(reading.seq, last or 0)


def diagnose(
    seen: Observations,
    identity: Identity | None,
    connection: Connection | None,
    problems: Sequence[str],
    now: datetime,
) -> list[Finding]:
    """Return the findings, the cause before its effects; empty if there is none.

    identity      None: not checked, because the admin's login is not known
    connection    None: the broker's log was not received
    problems      what the services report that they cannot do
    """
    found = [
        *_identity_findings(seen.device, identity, now),
        *_connection_findings(seen, identity, connection, now),
        *_message_findings(seen),
        *_value_findings(seen),
        *_interval_findings(seen),
        *_clock_findings(seen),
        *_number_findings(seen),
        *_patient_findings(seen, now),
        *(Finding(Severity.WRONG, f"a service reports: {printable(text)}", "repair that first") for text in problems),
    ]
    return sorted(found, key=lambda finding: finding.severity is Severity.NOTE)


def facts(
    seen: Observations, identity: Identity | None, connection: Connection | None, now: datetime
) -> list[tuple[str, str]]:
    """Return what was observed, as pairs of a name and a text, for a table."""
    rows = [("identity", _identity_text(identity)), ("connection", _connection_text(seen, connection))]
    for topic, count in seen.topics.most_common():
        rows.append(("publishes", f"{printable(topic)}: {count} messages"))
    if not seen.topics:
        rows.append(("publishes", f"nothing that the broker accepted, in {format_duration(_elapsed(seen, now))}"))
    else:
        array = f", {seen.backlog} of them in arrays" if seen.backlog else ""
        rows.append(
            ("readings", f"{seen.readings} accepted{array}; {seen.rejected_messages} messages with a rejection")
        )
    if seen.interval is not None:
        announced = seen.status.interval_s if seen.status else None
        rows.append(
            (
                "interval",
                f"{seen.interval.total_seconds():.1f} s" + (f", announced {announced:g} s" if announced else ""),
            )
        )
    if seen.readings:
        rows.append(("clock", _clock_text(seen.offset)))
        rows.append(("numbering", _number_text(seen)))
        names = ["none" if patient is None else printable(patient) for patient in seen.patients]
        rows.append(("patient ids", ", ".join(names)))
    if seen.unknown_keys:
        rows.append(("unknown keys", ", ".join(map(printable, seen.unknown_keys))))
    return rows


def printable(text: str) -> str:
    """Return foreign text on one line, without control characters, cut at MAX_TEXT."""
    return sanitize(" ".join(text.split()))[:MAX_TEXT]


def describe(reading: Reading) -> str:
    """Return the values of a reading in short."""
    values = zip(SIGNS, sign_values(reading), strict=True)
    texts = [f"{sign.short} {value:g}" for sign, value in values if value is not None]
    return " ".join(texts) or "no value"


def _elapsed(seen: Observations, now: datetime) -> float:
    return (now - seen.begin).total_seconds()


def _identity_findings(device: str, identity: Identity | None, now: datetime) -> Iterator[Finding]:
    if identity is None:
        yield Finding(
            Severity.NOTE, "the identity was not checked", "run `vitalflow devices doctor` with VITALFLOW_ADMIN_URL set"
        )
        return
    if not identity.kind:
        similar = f"; similar names: {', '.join(map(printable, identity.similar))}" if identity.similar else ""
        yield Finding(
            Severity.WRONG,
            f"the broker has no user {printable(device)!r}{similar}",
            f"enrol it: vitalflow devices enroll {printable(device)} --ward WARD",
        )
    elif identity.kind != "device":
        yield Finding(
            Severity.WRONG,
            f"{printable(device)!r} is a {identity.kind} and not a device",
            "enrol the device under another name",
        )
    ends = identity.certificate_ends
    renew = f"enrol it again: vitalflow devices enroll {printable(device)} --ward WARD --certificate --rotate-password"
    if identity.certificate_revoked:
        yield Finding(Severity.WRONG, "its certificate is revoked", renew)
    elif ends is not None and ends - now < CERTIFICATE_DUE:
        expired = ends <= now
        yield Finding(
            Severity.WRONG if expired else Severity.NOTE,
            f"its certificate {'expired' if expired else 'expires'} on {ends:%Y-%m-%d}",
            renew,
        )


def _connection_findings(
    seen: Observations, identity: Identity | None, connection: Connection | None, now: datetime
) -> Iterator[Finding]:
    if connection is None:
        if not seen.messages:
            yield Finding(
                Severity.WRONG,
                f"no reading in {format_duration(_elapsed(seen, now))}",
                "compare its topic with the one it is enrolled for, and its login with device.json",
            )
        return
    refused = list(_refused_findings(seen, identity, connection, now))
    yield from refused
    if connection.logins > 3:
        yield Finding(
            Severity.WRONG,
            f"it logged in {connection.logins} times in {format_duration(_elapsed(seen, now))}"
            + (f"; the last connection ended: {printable(connection.ended)}" if connection.ended else ""),
            "keep one connection open; two clients with one client id end each other's connection",
        )
    if seen.messages or (identity is not None and not identity.kind):
        return
    if connection.since is not None:
        ward = "WARD" if identity is None or identity.ward is None else identity.ward
        elapsed = (now - connection.since).total_seconds()
        yield Finding(
            Severity.WRONG,
            f"it logged in {format_duration(elapsed)} ago over {connection.protocol} from {connection.address}, and no "
            "reading has arrived since: it publishes nothing, or to a topic that is not its own",
            f"publish to exactly {printable(seen.expected_topic(ward))}; MQTT 5 answers `Not authorized` where "
            "MQTT 3.1.1 reports success",
        )
    elif not refused:
        yield Finding(
            Severity.WRONG,
            f"no login and no reading in {format_duration(_elapsed(seen, now))}",
            "check its power, its network and the broker's address; if it was connected before, restart it meanwhile",
        )


def _refused_findings(
    seen: Observations, identity: Identity | None, connection: Connection, now: datetime
) -> Iterator[Finding]:
    client_id = "" if identity is None else identity.client_id
    for refused in connection.refused:
        times = f"{refused.count} times, last {format_duration((now - refused.last).total_seconds())} ago"
        if client_id and refused.client_id == client_id:
            yield Finding(
                Severity.WRONG,
                f"the broker refused its login {times}: the client id is right, so user or password is wrong",
                "copy user and password from device.json; lost: vitalflow devices enroll with --rotate-password",
            )
        elif refused.client_id == seen.device or refused.client_id.startswith(f"{seen.device}."):
            yield Finding(
                Severity.WRONG,
                f"the broker refused a login with the client id {printable(refused.client_id)!r} {times}"
                + (f"; the password works with {client_id!r} only" if client_id else ""),
                "use client id, user and password of device.json",
            )
        elif not seen.messages and connection.since is None:
            yield Finding(
                Severity.WRONG,
                f"the broker refused a login with the client id {printable(refused.client_id)!r} {times}; it may be "
                "this device: the broker does not report the user",
                "use client id, user and password of device.json",
            )


def _message_findings(seen: Observations) -> Iterator[Finding]:
    for (reason, detail), count in seen.rejected.most_common():
        yield Finding(
            Severity.WRONG, f"rejected {count} times, {reason}: {detail}", ADVICE.get(reason, "see docs/wire-format.md")
        )
    if seen.nearly_json:
        yield Finding(
            Severity.NOTE,
            f"{seen.nearly_json} messages are no valid JSON, and were read all the same",
            ADVICE[Reason.NOT_JSON],
        )
    for key, count in seen.unknown_keys.most_common():
        meant = _known_key(key)
        if meant is None:
            yield Finding(Severity.NOTE, f"the key {printable(key)!r} is unknown and not stored ({count} times)")
        else:
            yield Finding(
                Severity.WRONG,
                f"the key {printable(key)!r} is unknown, so its value is not stored ({count} times)",
                f"write {meant!r}",
            )
    for key, count in seen.repeated_keys.most_common():
        yield Finding(
            Severity.WRONG,
            f"the key {printable(key)!r} comes more than once in one reading, and only its last value counts "
            f"({count} times)",
            "send each key once, or a reading for each value",
        )
    if seen.qos0:
        yield Finding(
            Severity.NOTE,
            f"{seen.qos0} readings came at QoS 0; such a reading is lost if the connection ends or ingest is down",
            "publish at QoS 1",
        )


def _known_key(key: str) -> str | None:
    found = get_close_matches(plain(key), _KEYS, n=1, cutoff=0.8)
    return _KEYS[found[0]] if found else None


def _bad_marks(payload: bytes) -> list[str]:
    """Return what marks a value as bad beside it, such as that it is not valid, each once."""
    content = decode_foreign(payload)
    items = [item for item in (content if isinstance(content, list) else [content]) if isinstance(item, dict)]
    found = (bad_mark(item, FIELDS, key) for item in items for key in SIGN_KEYS if item.get(key) is not None)
    return list(dict.fromkeys(filter(None, found)))


def _value_findings(seen: Observations) -> Iterator[Finding]:
    for mark, count in seen.bad_marks.most_common():
        yield Finding(
            Severity.WRONG,
            f"{printable(mark)!r} stands beside a value and is not read, so the value counts ({count} times)",
            "leave out a value that does not count, and name its sign in sensor_off",
        )
    for (key, value), count in seen.no_values.most_common():
        yield Finding(
            Severity.NOTE,
            f"{key} was {value:g} in {count} of {seen.ranges[key][2]} readings; it counts as measured",
            "leave out a sign that is not measured, and name it in sensor_off",
        )
    for key in (sign.key for sign in SIGNS if sign.unit == "%"):
        _, highest, _ = seen.ranges.get(key, (0.0, 0.0, 0))
        if 0 < highest <= 1:
            yield Finding(Severity.WRONG, f"{key} is at most {highest:g} %: it may be a fraction", "send percent")
    if any(count >= UNCHANGED_READINGS for _, _, count in seen.ranges.values()) and all(
        low == high for low, high, _ in seen.ranges.values()
    ):
        yield Finding(
            Severity.NOTE,
            f"no value has changed in {seen.readings} readings",
            "a gateway must not repeat the values of a sensor that it does not receive",
        )


def _clock_findings(seen: Observations) -> Iterator[Finding]:
    offset = seen.offset
    if offset is not None and abs(offset) > RIGHT:
        yield Finding(
            Severity.WRONG,
            f"its clock is {_clock_text(offset)}",
            "set it, for instance by NTP; alarms count by arrival, but the stored times are wrong",
        )


def _interval_findings(seen: Observations) -> Iterator[Finding]:
    announced = (seen.status.interval_s if seen.status else None) or 0.0
    found = seen.interval.total_seconds() if seen.interval is not None else announced
    if announced > max(SILENT_AFTER.total_seconds(), 3 * found):
        yield Finding(
            Severity.WRONG,
            f"its status announces a reading every {announced:g} s, and they come every {found:.1f} s",
            "announce the seconds between two readings in interval_s; silence is judged by it",
        )


def _clock_text(offset: timedelta | None) -> str:
    if offset is None:
        return "unknown: only old readings arrived"
    if abs(offset) <= RIGHT:
        return "right"
    return f"{format_duration(abs(offset).total_seconds())} {'behind' if offset > timedelta() else 'ahead'}"


def _number_findings(seen: Observations) -> Iterator[Finding]:
    if seen.missing:
        yield Finding(
            Severity.WRONG,
            f"{seen.missing} numbers are missing between readings that arrived",
            "keep each reading until it is acknowledged, better until its receipt (docs/receipts.md)",
        )
    if seen.repeated:
        yield Finding(
            Severity.NOTE,
            f"{seen.repeated} readings had a number that is not above the last one; repeated readings are stored once",
            "count up seq with every reading, and change boot at every start",
        )


def _number_text(seen: Observations) -> str:
    if not seen.numbered:
        return "none; each reading is named by its content"
    return f"{seen.numbered} numbered, {len(seen.boots)} boots, {seen.missing} missing"


def _patient_findings(seen: Observations, now: datetime) -> Iterator[Finding]:
    if seen.alternates(now):
        yield Finding(
            Severity.WRONG,
            "patient ids come in turn; the alert `two-patients` is raised and the patient is unknown",
            "send one spelling of one patient's id per device",
        )
    elif len(seen.patients) > 1:
        yield Finding(Severity.NOTE, f"{len(seen.patients)} different patient ids came, missing ones included")


def _identity_text(identity: Identity | None) -> str:
    if identity is None:
        return "not checked"
    if not identity.kind:
        return "not enrolled"
    login = "with a password" if identity.client_id else "with a certificate"
    ends = f", valid until {identity.certificate_ends:%Y-%m-%d}" if identity.certificate_ends else ""
    return f"{identity.kind} of ward {identity.ward or '-'}, {login}{ends}"


def _connection_text(seen: Observations, connection: Connection | None) -> str:
    where = ""
    if connection is not None and connection.address:
        where = f", from {connection.address}, {connection.protocol}"
    if connection is not None and connection.ended:
        return f"ended: {printable(connection.ended)}{where}"
    if seen.messages or (connection is not None and connection.since is not None):
        return f"connected{where}"
    return "none seen"

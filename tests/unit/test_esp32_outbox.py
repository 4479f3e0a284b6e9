"""The outbox and the payloads of the ESP32 example, compiled from its header."""

import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.support.available import cpp_compiler
from vitals.codec import ANY_TIME, decode
from vitals.reading import Reading
from vitals.receipt import Receipt, encode_receipt, ranges
from vitals.status import decode_status

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "devices/examples/esp32-max30102"
BOOT = 1795341000
AT = datetime(2026, 11, 22, 9, 59, 59, 250_000, tzinfo=UTC)

pytestmark = pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler")


class Outbox:
    """The compiled outbox; times are its uptime in milliseconds."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def command(self, text: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def put(self, number: int, heart_rate: int = 72, spo2: int = 97, *, finger_off: bool = False) -> bool:
        time_ms = int((AT + timedelta(seconds=number)).timestamp() * 1000)
        return self.command(f"put {time_ms} {heart_rate} {spo2} {int(finger_off)}") == "1"

    def next(self, now: int) -> list[int]:
        """The seqs of the message that is due."""
        payload = self.command(f"next {now}")
        content = msgspec.json.decode(payload) if payload else []
        return [one["seq"] for one in (content if isinstance(content, list) else [content])]

    def send(self, now: int) -> list[int]:
        """Send what is due, with its PUBACK."""
        seqs = self.next(now)
        if seqs:
            self.command(f"acknowledged {now}")
        return seqs

    def receipt(self, *seqs: int, boot: int = BOOT) -> bool:
        return self.command(f"receipt {encode_receipt(Receipt(boot=boot, stored=ranges(seqs))).decode()}") == "1"

    def counts(self) -> list[int]:
        """Readings in the outbox, dropped, evicted, and receipts that were ignored."""
        return [int(word) for word in self.command("counts").split()]

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def outbox_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("esp32") / "outbox"
    source = ROOT / "tests/support/esp32_outbox.cpp"
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-I", str(EXAMPLE)]
    subprocess.run([str(cpp_compiler()), *flags, str(source), "-o", str(program)], check=True, timeout=120)
    return program


@pytest.fixture
def esp32_outbox(outbox_program: Path) -> Iterator[Outbox]:
    outbox = Outbox(outbox_program)
    yield outbox
    outbox.close()


def stored(payload: str) -> list[Reading]:
    """The readings that ingest takes from a payload without a problem."""
    found = decode(payload.encode(), ANY_TIME)
    assert found.problems == []
    return found.readings


def test_its_readings_are_those_of_the_wire_format(esp32_outbox: Outbox) -> None:
    assert esp32_outbox.put(0, 72, 97)
    [reading] = stored(esp32_outbox.command("next 1000"))
    assert (reading.boot, reading.seq, reading.time) == (BOOT, 1, AT)
    assert (reading.value("heart_rate"), reading.value("spo2"), reading.sensor_off) == (72, 97, ())
    esp32_outbox.command("acknowledged 1000")
    assert esp32_outbox.put(1, 0, 97)
    assert esp32_outbox.put(2, 72, -999)
    assert esp32_outbox.put(3, 72, 97, finger_off=True)
    values = stored(esp32_outbox.command("next 2000"))
    assert [(one.value("heart_rate"), one.value("spo2"), one.sensor_off) for one in values] == [
        (None, 97, ()),
        (72, None, ()),
        (None, None, ("heart_rate", "spo2")),
    ]
    assert not esp32_outbox.put(4, 0, 0), "nothing to say"


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2027, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2028, 2, 29, 12, tzinfo=UTC),
        datetime(2100, 3, 1, 0, 0, 0, 1_000, tzinfo=UTC),
    ],
)
def test_its_times_are_right_on_each_day(esp32_outbox: Outbox, at: datetime) -> None:
    since_epoch = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    esp32_outbox.command(f"put {since_epoch} 72 97 0")
    assert msgspec.json.decode(esp32_outbox.command("next 0"), type=dict[str, object])["time"] == (
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def test_its_status_is_that_of_the_wire_format(esp32_outbox: Outbox) -> None:
    for number in range(45):
        esp32_outbox.put(number)
    status, _ = decode_status(esp32_outbox.command("status").encode())
    assert (status.state, status.boot, status.interval_s, status.dropped) == ("online", BOOT, 1, 5)


def test_a_reading_stays_until_its_receipt_and_waits_for_no_other(esp32_outbox: Outbox) -> None:
    for number in range(3):
        esp32_outbox.put(number)
    assert esp32_outbox.send(1000) == [1, 2, 3]
    assert esp32_outbox.next(1500) == []
    assert esp32_outbox.counts()[0] == 3
    assert esp32_outbox.receipt(1, 2, 3)
    assert esp32_outbox.counts() == [0, 0, 0, 0]


def test_a_message_without_its_puback_is_due_again_and_a_receipt_may_name_it(esp32_outbox: Outbox) -> None:
    esp32_outbox.put(0)
    esp32_outbox.put(1)
    assert esp32_outbox.next(1000) == [1, 2]
    esp32_outbox.command("interrupted")
    esp32_outbox.put(2)
    assert esp32_outbox.next(2000) == [1, 2, 3]
    esp32_outbox.command("interrupted")
    assert esp32_outbox.receipt(1, 2, 3)
    assert esp32_outbox.counts()[0] == 0


def test_a_receipt_for_a_reading_that_was_never_sent_removes_nothing(esp32_outbox: Outbox) -> None:
    esp32_outbox.put(0)
    esp32_outbox.receipt(1)
    assert esp32_outbox.counts()[0] == 1


def test_a_reading_is_lost_when_a_later_one_has_its_receipt_and_is_resent_after_15_seconds(
    esp32_outbox: Outbox,
) -> None:
    esp32_outbox.put(0)
    assert esp32_outbox.send(1_000) == [1]
    esp32_outbox.put(1)
    assert esp32_outbox.send(2_000) == [2]
    assert esp32_outbox.next(60_000) == [], "without any receipt nothing is resent"
    assert esp32_outbox.receipt(2)
    assert esp32_outbox.next(15_999) == []
    assert esp32_outbox.send(16_000) == [1]
    assert esp32_outbox.next(21_000) == [], "its time starts again"
    assert esp32_outbox.send(31_000) == [1], "nothing later has a receipt: it is a probe"
    assert esp32_outbox.next(46_000) == []
    assert esp32_outbox.send(61_000) == [1], "after 30 s"
    assert esp32_outbox.receipt(1)
    assert esp32_outbox.counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        '{"boot": 1795341000, "stored": [[1, 1]]',
        '{"boot": 1795341000, "stored": [[1, 1]]} x',
        '{"boot": 1795341000, "stored": [[2, 1]]}',
        '{"boot": 1795341000, "stored": [[1, 99]]}',
        '{"boot": 1795341000, "stored": [[1, 1], [1]]}',
        '{"boot": 1795341000, "stored": [[1, 1.5]]}',
        '{"boot": 1795341000, "stored": [[1, 99999999999999999999]]}',
        '{"boot": 1795341001, "stored": [[1, 1]]}',
        '{"stored": [[1, 1]]}',
        '{"boot": 1795341000, "later": ' + "[" * 100 + "]" * 100 + ', "stored": [[1, 1]]}',
    ],
)
def test_a_receipt_that_is_invalid_is_ignored_as_a_whole(esp32_outbox: Outbox, text: str) -> None:
    esp32_outbox.put(0)
    assert esp32_outbox.send(1000) == [1]
    assert esp32_outbox.command(f"receipt {text}") == "0"
    assert esp32_outbox.counts() == [1, 0, 0, 1]


def test_a_receipt_with_a_key_of_a_later_version_counts(esp32_outbox: Outbox) -> None:
    esp32_outbox.put(0)
    assert esp32_outbox.send(1000) == [1]
    text = '{"later": {"a": [1, "x]"], "b": null}, "rejected": [[1, 1]], "boot": 1795341000}'
    assert esp32_outbox.command(f"receipt {text}") == "1"
    assert esp32_outbox.counts() == [0, 0, 0, 0]


def test_when_it_is_full_readings_that_were_sent_go_first_and_dropped_ones_are_counted(esp32_outbox: Outbox) -> None:
    esp32_outbox.put(0)
    assert esp32_outbox.send(0) == [1]
    assert esp32_outbox.receipt(1)
    for number in range(1, 9):
        esp32_outbox.put(number)
    assert esp32_outbox.send(1000) == list(range(2, 10))
    for number in range(9, 9 + 40):
        esp32_outbox.put(number)
    assert esp32_outbox.counts() == [40, 0, 8, 0]
    esp32_outbox.put(50)
    assert esp32_outbox.counts() == [40, 1, 8, 0]
    assert esp32_outbox.next(2000) == list(range(11, 19)), "oldest first, the dropped one is missing"


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_when_messages_pubacks_and_receipts_are(esp32_outbox: Outbox, seed: int) -> None:
    chance = random.Random(seed)
    stored: set[int] = set()
    news: set[int] = set()
    for second in range(1300):  # a probe comes after 300 s at the latest
        now = second * 1000
        if second < 200:
            esp32_outbox.put(second)
        for _ in range(3):
            seqs = esp32_outbox.next(now)
            if not seqs:
                break
            fate = chance.random() if second < 300 else 1.0
            if fate > 0.2:  # else: the broker lost it after its PUBACK
                stored |= set(seqs)
                news |= set(seqs)
            if 0.1 < fate < 0.3:
                esp32_outbox.command("interrupted")
            else:
                esp32_outbox.command(f"acknowledged {now}")
        if second % 5 == 0 and news:
            if second >= 300 or chance.random() > 0.2:
                assert esp32_outbox.receipt(*news)
            news = set()
    kept, dropped, evicted, ignored = esp32_outbox.counts()
    assert (kept, dropped, evicted, ignored) == (0, 0, 0, 0)
    assert stored == set(range(1, 201))

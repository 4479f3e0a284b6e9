"""A stack is backed up, destroyed and restored: every row, every login, and readings arrive again."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hl7.client import MLLPClient  # type: ignore[import-untyped]
from psycopg import sql

from sql.migrate import connect
from sql.wards import grant_ward
from stack.binaries import CHECKOUT, find
from stack.plan import addresses
from stack.processes import find as find_process
from stack.replacement import Replacement
from stack.servers import OWNER
from stack.stack_dir import INBOX_FILE, SITE_FILE
from tests.fixtures.running_stack import RunningStack
from tests.support.mqtt_probe import MqttProbe, connects, publishes
from tests.support.servers import eventually
from vitals.topics import Topics

pytestmark = pytest.mark.slow

KEPT = ("patient_vitals", "alert_event", "audit_event", "rejected_message", "reader_ward", "vitalflow_migration")
"""Tables whose rows are never changed."""
READER_PASSWORD = "a-reader-in-a-test"


def rows(stack: RunningStack) -> dict[str, set[str]]:
    url = addresses(stack.ports, stack.secrets, stack.home)["VITALFLOW_DATABASE_URL"]
    found = {}
    with psycopg.connect(url) as connection:
        for table in KEPT:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            found[table] = {str(row) for (row,) in connection.execute(query)}
    return found


MESSAGE = b"""MSH|^~\\&|MONITOR|ICU|||20261129120000+0000||ORU^R01^ORU_R01|1|P|2.6
PID|||p-7^^^HOSP^MR
PV1||I|ELSEWHERE^^1
OBR|1|||182777000^monitoring of patient^SCT|||20261129120000+0000
OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC||70|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||F
""".replace(b"\n", b"\r")


def acknowledged_without_place(stack: RunningStack) -> list[tuple[bytes]]:
    """The inbox's readings of unknown beds, after one has been acknowledged. They are in no database."""
    with MLLPClient("127.0.0.1", stack.ports.hl7) as client:
        assert b"MSA|AA|1" in client.send_message(MESSAGE)
    return unplaced_readings(stack)


def unplaced_readings(stack: RunningStack) -> list[tuple[bytes]]:
    with closing(sqlite3.connect(stack.home.folder / INBOX_FILE)) as inbox:
        found = inbox.execute("SELECT payload FROM unplaced").fetchall()
    assert len(found) == 1
    return found


@pytest.fixture(scope="module")
def options(running_stack: RunningStack) -> list[str]:
    """A backup of the running stack, and the passphrase."""
    word, file = running_stack.folder / "word", running_stack.folder / "a.backup"
    word.write_text("a-word-that-is-long-enough\n")
    options = [str(file), "--passphrase-file", str(word)]
    made = running_stack.stack("backup", *options)
    assert (made.returncode, made.stderr) == (0, "")
    return options


def refused(stack: RunningStack, *arguments: str) -> str:
    """The one sentence of a command that fails."""
    ended = stack.stack(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    return ended.stderr


def test_a_restore_of_a_running_stack_is_refused(running_stack: RunningStack, options: list[str]) -> None:
    assert "already running" in refused(running_stack, "restore", *options, "--replace")


def test_a_full_disk_leaves_no_file_and_keeps_the_earlier_backup(
    running_stack: RunningStack, options: list[str]
) -> None:
    file = Path(options[0])
    before = file.read_bytes()
    line = ["prlimit", f"--fsize={len(before) // 2}", sys.executable, "-m", "stack"]
    line += ["--home", str(running_stack.home.folder), "backup", *options]
    ended = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"{file} cannot be written: File too large" in ended.stderr
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.glob("a.backup*")] == ["a.backup"]


def test_a_destroyed_stack_is_restored_with_every_row_and_every_login(
    running_stack: RunningStack, options: list[str]
) -> None:
    stack, file = running_stack, Path(options[0])
    topic = Topics().status("icu-1", "bed-1")
    assert publishes(stack.user("bed-1"), stack.id_of("bed-1"), topic, b'{"state":"online"}', retain=True) == "Success"
    url = addresses(stack.ports, stack.secrets, stack.home)["VITALFLOW_DATABASE_URL"]
    with connect(url) as connection:
        grant_ward(connection, "ward_reader", ["icu-1"], READER_PASSWORD)
    eventually(lambda: len(rows(stack)["patient_vitals"]) > 10, 60, "ten rows")
    before = rows(stack)
    site = (stack.home.folder / SITE_FILE).read_bytes()
    unplaced = acknowledged_without_place(stack)
    assert stack.stack("backup", *options).returncode == 0
    assert stack.stack("down").returncode == 0
    assert "--replace" in refused(stack, "restore", *options)
    cold = stack.folder / "cold.backup"
    made = stack.stack("backup", str(cold), *options[1:])
    assert (made.returncode, made.stderr) == (0, "")

    assert stack.stack("down", "--wipe").returncode == 0
    damaged, other = stack.folder / "damaged.backup", stack.folder / "other-word"
    damaged.write_bytes(file.read_bytes()[:-1])
    other.write_text("another\n")
    assert "damaged or truncated" in refused(stack, "restore", str(damaged), *options[1:])
    assert "passphrase does not open" in refused(stack, "restore", str(file), "--passphrase-file", str(other))
    assert "is not a backup of VitalFlow" in refused(stack, "restore", __file__, *options[1:])
    assert not find().folder(stack.home.data).exists()
    assert not stack.home.identity.exists()

    restored = stack.stack("restore", *options)
    assert (stack.home.folder / SITE_FILE).read_bytes() == site
    assert unplaced_readings(stack) == unplaced
    assert (restored.returncode, restored.stderr) == (0, "")
    up = stack.stack("up", "--detach", "--devices", "2", "--port-base", str(stack.ports.base))
    assert up.returncode == 0, up.stderr
    after = rows(stack)
    assert {table: before[table] - after[table] for table in KEPT} == {table: set() for table in KEPT}
    for name in ("bed-1", "bed-2", "bed-9", "ada", "grace", "eve", "operator"):
        assert connects(stack.user(name), stack.id_of(name)) == "Success", name
    assert connects(stack.user("gone"), stack.id_of("gone")) != "Success"
    assert connects(stack.card("card-1")) == "Success"
    assert connects(stack.card("card-2")) != "Success"
    with MqttProbe(stack.user("grace")) as probe:
        assert probe.subscribe(topic) == "Granted QoS 1"
        assert probe.next_topic() == topic, "a retained message"
    reader = url.replace(f"{OWNER}:{stack.secrets.owner}", f"ward_reader:{READER_PASSWORD}")
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM patient_vitals").fetchone() == (True,)
    eventually(lambda: rows(stack)["patient_vitals"] - after["patient_vitals"], 60, "a reading after the restore")
    with connect(url) as connection:
        gaps = "SELECT count(*) FROM device_gap"
        eventually(lambda: connection.execute(gaps).fetchone() == (0,), 60, "no reading missing")


def test_a_killed_restore_leaves_the_stack_that_was_there(running_stack: RunningStack, options: list[str]) -> None:
    stack = running_stack
    before = rows(stack)
    assert stack.stack("down").returncode == 0
    line = [sys.executable, "-m", "stack", "--home", str(stack.home.folder), "restore", *options, "--replace"]
    process = subprocess.Popen(line, cwd=CHECKOUT)
    eventually(lambda: (state := stack.home.state()) and state.processes, 60, "the restore runs a database")
    state = stack.home.state()
    assert state is not None
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    up = stack.stack("up", "--detach", "--devices", "0", "--port-base", str(stack.ports.base))
    assert up.returncode == 0, up.stderr
    assert find_process(state.processes[0]) is None, "the database of the restore"
    assert not find().folder(Replacement(stack.home, find()).data).exists()
    after = rows(stack)
    assert {table: before[table] - after[table] for table in KEPT} == {table: set() for table in KEPT}
    assert connects(stack.user("ada")) == "Success"

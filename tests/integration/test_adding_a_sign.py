"""A new sign is one row and one migration: docs/adding-a-sign.md, done as it says, run as real processes."""

import json
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import paho.mqtt.publish as publish
import pytest

from stack.binaries import CHECKOUT
from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.migrate import copy_packages, migrate
from tests.support.servers import Db, eventually

DOCUMENT = (CHECKOUT / "docs/adding-a-sign.md").read_text()


def block(language: str) -> str:
    """The only block of code in this language in the document."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the rooms between broker and table, with the two steps taken."""
    checkout = copy_packages(tmp_path / "checkout", "vitals", "sql", "ingest")
    table = checkout / "vitals/signs.py"
    before, end_of_table, after = table.read_text().partition("\n)\nSIGN_KEYS")
    assert end_of_table
    table.write_text(f"{before}\n{block('python').rstrip()}{end_of_table}{after}")
    (checkout / "sql/migrations/9001_etco2.sql").write_text(block("sql"))
    return checkout


def send(broker: BrokerServer, seq: int, **fields: object) -> None:
    payload = {**json.loads(block("json")), "seq": seq, "time": datetime.now(UTC).isoformat(), **fields}
    topic = "vitalflow/vitals/icu-1/bed-1"
    publish.single(topic, json.dumps(payload), qos=1, hostname="127.0.0.1", port=broker.port)


def rows_are(db: Db, number: int) -> bool:
    return db.count() == number


def test_a_new_database_has_the_sign(broker: BrokerServer, empty: Db, make_ingest: MakeIngest, checkout: Path) -> None:
    migrate(empty, checkout).expect_success()
    make_ingest(broker.url, empty, checkout=checkout)
    send(broker, 1)
    send(broker, 2, etco2=None, heart_rate=80, sensor_off=["etco2"])
    send(broker, 3, etco2=900, heart_rate=81)
    eventually(lambda: empty.count() == 3, 10, "three rows")
    rows = empty.rows("SELECT seq, etco2, heart_rate, sensor_off FROM patient_vitals ORDER BY seq")
    assert rows == [(1, 38.0, None, []), (2, None, 80.0, ["etco2"]), (3, None, 81.0, [])]
    for rollup in ("vitals_1m", "vitals_1h", "vitals_1d"):
        assert empty.one(f"SELECT max(etco2_avg) FROM {rollup}") == 38  # noqa: S608
    assert empty.one("SELECT etco2_off > 0 FROM vitals_series('bed-1', now() - interval '1 day', now(), 2) LIMIT 1")
    eventually(lambda: empty.count("rejected_message") == 1, 10, "the implausible value")
    rejected = empty.rows("SELECT reason, detail FROM rejected_message")
    assert rejected == [("implausible", "etco2 900 is outside 0 to 150 mm[Hg]")]


def test_a_database_from_before_gets_the_sign_while_the_old_ingest_runs(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest, checkout: Path
) -> None:
    old = make_ingest(broker.url, db)
    at = datetime.now(UTC).isoformat()
    for seq in range(1, 8):  # often enough for the driver to have prepared its statements
        send(broker, seq, heart_rate=80, time=at)
        eventually(partial(rows_are, db, seq), 10, "a row of the old ingest")
    assert "applied 9001_etco2.sql" in migrate(db, checkout).expect_success()
    send(broker, 7, heart_rate=80, time=at)  # a second time
    send(broker, 8, heart_rate=80)
    eventually(lambda: db.count() == 8, 10, "a row of the old ingest in the new table")
    assert old.stop() == 0
    make_ingest(broker.url, db, ingest_client_id=old.client_id, checkout=checkout)
    send(broker, 9, heart_rate=80)
    eventually(lambda: db.count() == 9, 10, "a row of the new ingest")
    stored = db.rows("SELECT seq, heart_rate, etco2 FROM patient_vitals ORDER BY seq")
    assert stored == [*((seq, 80.0, None) for seq in range(1, 9)), (9, 80.0, 38.0)]
    assert db.rows("SELECT heart_rate_n, etco2_n, etco2_max FROM vitals_1d") == [(9, 1, 38.0)]


def test_an_ingest_that_is_ahead_of_the_table_loses_nothing(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest, checkout: Path
) -> None:
    ingest = make_ingest(broker.url, db, checkout=checkout)
    send(broker, 1)
    eventually(lambda: 'column "etco2"' in ingest.said(), 10, "it says what it waits for")
    migrate(db, checkout).expect_success()
    eventually(lambda: db.count() == 1, 30, "the reading is stored")
    assert db.rows("SELECT etco2 FROM patient_vitals") == [(38.0,)]

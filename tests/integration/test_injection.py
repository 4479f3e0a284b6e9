"""No text reaches the database as anything but text: through MQTT and ingest, through functions, through options.

The texts are those that injections are made of, and whatever Hypothesis finds between them.
"""

import json
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from sql.migrate import connect
from sql.wards import grant_ward, revoke_ward
from stack.servers import BrokerServer
from tests.fixtures.ingest import IngestProcess, MakeIngest
from tests.integration.test_bad_input import publish
from tests.support.process import environ_of, run_module
from tests.support.servers import Db, eventually
from vitals.codec import encode
from vitals.reading import MAX_TEXT, reading

EVIL = [
    "'; DROP TABLE patient_vitals; --",
    "' OR '1'='1",
    "\\'; DELETE FROM device; --",
    "$$; DROP TABLE device; $$",
    "\\N",
    "\\.",
    "a\\tb\\n",
    "{a,b}",
    '{"a":"b"}',
    '"quoted"',
    "%s %(name)s %I %L {} {0}",
    "${jndi:ldap://x}",
    "`id` $(id)",
    "../../../etc/passwd",
    "..\\..\\x",
    "<script>alert(1)</script>",
    "NULL",
    "pg_sleep(10)",
    "ŁÓDŹ 🫀 סבתא",
    "é" * 100,
]
printable = st.text(min_size=1, max_size=40).filter(str.isprintable)
pieces = st.lists(st.sampled_from(EVIL) | printable, min_size=1, max_size=3).map("".join)
texts = st.sampled_from(EVIL) | pieces.filter(lambda text: text.isprintable() and len(text) <= MAX_TEXT)
# A level of a topic: no separators, no wildcards, and MQTT allows neither NUL nor surrogates.
levels = texts.map(lambda text: text.translate(str.maketrans("/+#", "|&~"))).filter(
    lambda text: 0 < len(text) <= MAX_TEXT and text.isprintable() and not text.startswith("$")
)
# Each example costs a commit or two; a failing one is not made smaller, which would take minutes.
rounds = settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate), database=None)


def state(db: Db) -> list[tuple[object, ...]]:
    """What an injection would change: the tables, the roles, and who may do what."""
    return db.rows(
        "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT rolname, rolsuper::text FROM pg_roles ORDER BY 1"
    )


def drive(broker: BrokerServer, ingest: IngestProcess, messages: list[tuple[str, bytes]]) -> None:
    before = ingest.metric("messages_received_total")
    publish(broker, messages)
    eventually(lambda: ingest.metric("messages_received_total") == before + len(messages), 20, "all of them are stored")


def test_every_text_of_a_message_is_stored_as_it_came(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    ingest = make_ingest(broker.url, db)
    before = state(db)
    start = datetime.now(UTC)
    number = 0

    @rounds
    @given(device=levels, ward=levels, patient=texts, rule=levels, by=texts)
    def send(device: str, ward: str, patient: str, rule: str, by: str) -> None:
        nonlocal number
        number += 1
        time = start + timedelta(milliseconds=number)
        values = reading(time, {"heart_rate": 80.0}, boot=7, seq=number, patient_id=patient)
        status = json.dumps({"state": "online", "boot": number, "model": patient}).encode()
        command = json.dumps({"by": by, "action": rule, "time": time.isoformat()}).encode()
        limits = json.dumps({"by": by, "limits": {rule: 88}, "patient_id": patient, "time": time.isoformat()}).encode()
        drive(
            broker,
            ingest,
            [
                (f"vitalflow/vitals/{ward}/{device}", encode(values)),
                (f"vitalflow/status/{ward}/{device}", status),
                (f"vitalflow/alert-commands/{ward}/{device}/{rule}", command),
                (f"vitalflow/alert-commands/{ward}/{device}/{rule}/{by_as_level(by)}", command),
                (f"vitalflow/limits/{ward}/{device}", limits),
            ],
        )
        assert db.rows("SELECT device_id, ward, patient_id FROM patient_vitals WHERE seq = %s", number) == [
            (device, ward, patient)
        ]
        assert db.rows("SELECT ward, model FROM device WHERE device_id = %s", device) == [(ward, patient)]
        kept = db.rows("SELECT actor, action, ward, device_id, rule, detail FROM audit_event WHERE time = %s", time)
        assert (by, rule, ward, device, rule, {}) in kept
        assert any(row[0] == by_as_level(by) for row in kept), "the user in the topic wins"
        assert (by, "set_limits", ward, device, None, {"limits": {rule: 88.0}, "patient_id": patient}) in kept

    send()
    assert db.count("rejected_message") == 0
    assert state(db) == before
    assert ingest.stop() == 0


def by_as_level(by: str) -> str:
    return by.translate(str.maketrans("/+#", "|&~"))


def test_functions_take_texts_as_texts(db: Db) -> None:
    """vitals_series writes its device into a query that it runs; the device may be any text."""
    before = state(db)
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)"
            " SELECT now() - interval '1 minute', name, 1, 1, 'w', 70, 'NORMAL', now() FROM unnest(%s::text[]) AS name",
            [EVIL],
        )
    with psycopg.connect(db.reader_url, autocommit=True) as reader:

        @rounds
        @given(device=st.sampled_from(EVIL) | st.text(max_size=60).filter(lambda text: "\0" not in text and fit(text)))
        def ask(device: str) -> None:
            for hours in (1, 12, 400):
                asked = "SELECT sum(readings) FROM vitals_series(%s, now() - %s * interval '1 hour', now(), 100)"
                if device in EVIL:
                    assert reader.execute(asked, [device, hours]).fetchone() == (1,)
                else:
                    with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown device"):
                        reader.execute(asked, [device, hours])
            assert len(reader.execute("SELECT * FROM last_reading_of(%s)", [device]).fetchall()) == (device in EVIL)
            assert isinstance(reader.execute("SELECT vitals_series_query(%s, now() - interval '1 h', now())", [device])
                              .fetchone(), tuple)  # fmt: skip

        ask()
    assert state(db) == before


def fit(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("evil", ["'; DROP TABLE patient_vitals; --", "2026-11-22' OR 1=1 --", "now()", "../../x"])
def test_options_take_texts_as_texts(db: Db, evil: str) -> None:
    """A moment is read as a moment before any query; a role and a ward are quoted, or refused."""
    before = state(db)
    for line in (
        ["alerts", "backtest", "--from", evil, "--to", "2026-11-23T00:00Z"],
        ["sql", "backfill", "--from", evil],
        ["sql", "backfill", "--from", "2026-11-22", "--to", evil],
        ["sql", "grant-ward", evil, "--ward", "icu-1"],
        ["sql", "revoke-ward", evil],
    ):
        done = run_module(*line, environ=environ_of(DATABASE_URL=db.owner_url, READER_URL=db.reader_url))
        assert done.returncode == 2, f"{line}: {done.stdout}{done.stderr}"
        assert done.stderr.count("\n") == 1, done.stderr
    assert state(db) == before


def test_a_ward_of_any_name_can_be_granted(db: Db) -> None:
    """Wards come from topics and may be called anything; a reader of one sees that one."""
    role = f"desk_{uuid.uuid4().hex[:8]}"
    wards = [text for text in EVIL if not set(text) & set("/+#")]
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, status, received_at)"
            " SELECT now(), 'bed-' || ordinality, 1, 1, name, 'NORMAL', now()"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS ward (name, ordinality)",
            [wards],
        )
    with connect(db.owner_url) as owner:
        try:
            for ward in wards:
                grant_ward(owner, role, [ward], None)
                owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                seen = owner.execute("SELECT ward FROM by_ward.patient_vitals").fetchall()
                owner.execute("RESET ROLE")
                assert seen == [(ward,)]
                revoke_ward(owner, role, [ward])
        finally:
            revoke_ward(owner, role, [])

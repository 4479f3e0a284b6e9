"""Readers of some wards only, on both editions: the same SQL, fewer rows, and no way around it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from grafana.execute import check_results
from grafana.files import read_dashboards
from sql.migrate import connect
from sql.wards import GROUP, grant_ward, revoke_ward, wards_of
from tests.community.test_readme_queries import QUESTIONS
from tests.support.grafana_display import Cell, answers, panel_of, table, tiles
from tests.support.migrate import migrate
from tests.support.servers import Db
from vitals.errors import PermanentError

WARD, ELSEWHERE = "icu-1", "icu-2"  # bed-001 and those with a story are in the first, bed-002 in the second
READER, OTHER = "reader_of_icu_1", "reader_of_icu_2"
NO_PRIVILEGE = "42501"
SHARED = "Shared equipment in this range"
DASHBOARDS = {path.stem: dashboard for path, dashboard in read_dashboards().items()}

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def wards(weeks: Db) -> Iterator[Db]:
    """The weeks, with a reader for each of two wards."""
    migrate(weeks).expect_success()  # the rights to a database are not copied with it from a template
    with connect(weeks.owner_url) as owner:
        grant_ward(owner, READER, [WARD], "a-password-of-a-test")
        grant_ward(owner, OTHER, [ELSEWHERE], None)
        owner.execute(
            "INSERT INTO device (device_id, ward, state, boot, changed_at)"
            " VALUES ('bed-gap', 'icu-1', 'online', 1, now())"
        )
        owner.execute(
            "INSERT INTO assignment (device_id, ward, patient_id, from_time, patient_since)"
            " VALUES ('bed-gap', 'icu-1', 'p-gap', now(), now())"
        )
        owner.execute("INSERT INTO time_zone_setting VALUES ('', 'Asia/Tokyo'), ('icu-1', 'UTC')")
    yield weeks
    with connect(weeks.owner_url) as owner:
        owner.execute("DELETE FROM device WHERE device_id = 'bed-gap'")
        owner.execute("DELETE FROM assignment")
        owner.execute("DELETE FROM time_zone_setting")
        for role in wards_of(owner):
            revoke_ward(owner, role, [])


@contextmanager
def acting_as(db: Db, role: str) -> Iterator[Connection]:
    """By SET ROLE, because the WebAssembly build lets everybody in as the superuser; with the settings of a login."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        settings = connection.execute("SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = %s", [role]).fetchall()
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for (setting,) in settings:
            name, _, value = str(setting).partition("=")
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        yield connection


# Figures without patients and devices, which ward readers may read as they are.
OF_THE_PIPELINE = {"ingest_now", "storage_now", "rollup_now", "rollup_difference", "job_now"}
RELATIONS = """
SELECT c.relname, EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname IN ('ward', 'device_id'))
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'reader_ward'
  AND has_table_privilege('vitalflow_reader', c.oid, 'SELECT')
ORDER BY 1
"""


def test_every_relation_shows_the_rows_of_the_ward_only(wards: Db) -> None:
    seen = {}
    for name in (str(name) for name, by_ward in wards.rows(RELATIONS) if by_ward):
        table = sql.Identifier(name)
        with psycopg.connect(wards.owner_url) as owner:
            columns = {
                column.name
                for column in owner.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(table)).description or ()
            }
            place = (
                "ward = 'icu-1'"
                if "ward" in columns
                else "device_id IN (SELECT device_id FROM device WHERE ward = 'icu-1')"
            )
            query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, sql.SQL(place))
            expected = owner.execute(query).fetchone()
        with acting_as(wards, READER) as reader:
            assert reader.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone() == expected, name
            query = sql.SQL("SELECT count(*) FROM {} WHERE NOT ({})").format(table, sql.SQL(place))
            assert reader.execute(query).fetchone() == (0,), name
        seen[name] = expected
    empty = {name for name, count in seen.items() if count == (0,)}
    may_be_empty = {"alert_end_unseen", "audit_event", "bed_limit", "device_clock", "imported_vitals"}
    assert empty <= may_be_empty | {"patient_vitals_template"}, "of all others there is something to see"
    assert len(seen) > 12


def test_the_zone_of_all_wards_counts_for_a_reader_of_one_ward(wards: Db) -> None:
    with acting_as(wards, READER) as reader:
        assert reader.execute("SELECT ward_time_zone('icu-1'), ward_time_zone('icu-9')").fetchone() == (
            "UTC",
            "Asia/Tokyo",
        )


def test_relations_without_a_ward_are_hidden(wards: Db) -> None:
    silent = {str(name) for name, by_ward in wards.rows(RELATIONS) if not by_ward}
    unseen = silent - {"retention_setting", "vitalflow_edition", "rejected_message"} - OF_THE_PIPELINE
    assert {"vitalflow_migration", "rollup_invalidation"} <= unseen
    with acting_as(wards, READER) as reader:
        for name in [*unseen, "reader_ward"]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM completeness_between({span})", "SELECT * FROM reading_rate({span})"],
)
def test_the_charts_of_the_pipeline_work_for_a_reader_of_one_ward(wards: Db, query: str) -> None:
    with acting_as(wards, READER) as reader:
        assert reader.execute(query.format(span="now() - interval '2 days', now()").encode()).fetchall()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_dashboard_works_for_a_reader_of_one_ward(wards: Db, name: str) -> None:
    with acting_as(wards, READER) as reader:
        found = list(check_results(reader, DASHBOARDS[name], datetime.now(UTC), unusual={}))
    assert found == [], "\n".join(map(str, found))


def test_where_a_reader_of_one_ward_sees_nothing_a_dashboard_does_not_say_that_all_is_well(wards: Db) -> None:
    until = datetime.now(UTC)
    with acting_as(wards, READER) as reader:
        (broker,) = answers(reader, "pipeline", "Broker", until, timedelta(hours=1))
        (shared,) = answers(reader, "alerts", SHARED, until, timedelta(hours=1), ward=(WARD,))
        assert reader.execute("SELECT reads_ward('icu-1'), reads_ward('icu-2')").fetchone() == (True, False)
    assert tiles(panel_of("pipeline", "Broker"), broker) == {
        "State": Cell("not known", "#8e8e8e"),
        "Dropped": Cell("–"),
    }
    (row,) = table(panel_of("alerts", SHARED), shared)
    assert row["What"].text == "This login does not read the ward stack: not known"


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_queries_of_the_readme_work_unchanged(wards: Db, question: str) -> None:
    with acting_as(wards, READER) as reader:
        reader.execute(QUESTIONS[question].encode())


def test_functions_read_the_ward_only(wards: Db) -> None:
    series = "SELECT sum(readings) FROM vitals_series(%s, now() - interval '%s hours', now(), 100)"
    for hours in (1, 12, 400):  # readings, minutes, hours
        with psycopg.connect(wards.owner_url) as owner:
            whole = owner.execute(series % ("'bed-001'", hours)).fetchone()
        with acting_as(wards, READER) as reader:
            assert reader.execute(series % ("'bed-001'", hours)).fetchone() == whole
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown device 'bed-002'"):
                reader.execute(series % ("'bed-002'", hours))
        with acting_as(wards, OTHER) as other:
            assert other.execute(series % ("'bed-002'", hours)).fetchone() is not None
    with acting_as(wards, READER) as reader:
        assert reader.execute("SELECT count(*) FROM last_reading_of('bed-002')").fetchone() == (0,)
        assert reader.execute("SELECT count(*) FROM last_reading_of('bed-silent')").fetchone() == (1,)


ATTEMPTS = {
    "the table itself": "SELECT * FROM public.patient_vitals",
    "a rollup itself": "SELECT * FROM public.vitals_1h",
    "a view over all wards": "SELECT * FROM public.ward_now",
    "after a search_path of its own": "SET search_path = public; SELECT * FROM patient_vitals",
    "the list of who sees what": "SELECT * FROM public.reader_ward",
    "giving itself a ward": (
        "SET default_transaction_read_only = off; INSERT INTO public.reader_ward VALUES (current_user, 'icu-2')"
    ),
    "a view of its own": "SET default_transaction_read_only = off; CREATE VIEW public.mine AS SELECT 1",
    "changing the view": (
        "SET default_transaction_read_only = off; ALTER VIEW by_ward.patient_vitals SET (security_barrier = false)"
    ),
    "writing through the view": "SET default_transaction_read_only = off; DELETE FROM by_ward.patient_vitals",
    "making a sample of the table": "SELECT * FROM public.patient_vitals TABLESAMPLE SYSTEM (100)",
    "copying it out": "COPY public.patient_vitals TO STDOUT",
    "old chunks by a job": (
        "SET default_transaction_read_only = off; SELECT drop_chunks('public.patient_vitals', older_than => now())"
    ),
    "the rejected messages of all": "SELECT * FROM public.rejected_message",
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_views_cannot_be_bypassed(wards: Db, name: str) -> None:
    *settings, attempt = ATTEMPTS[name].split("; ", 1)
    with acting_as(wards, READER) as reader:
        for setting in settings:
            reader.execute(setting.encode())
        with pytest.raises(psycopg.Error) as caught:
            reader.execute(attempt.encode())
    assert caught.value.sqlstate == NO_PRIVILEGE, caught.value


def test_the_chunks_cannot_be_read(wards: Db) -> None:
    chunks = wards.rows(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = '_timescaledb_internal' AND c.relkind IN ('r', 'v')"
        " AND has_table_privilege('vitalflow_reader', c.oid, 'SELECT')"
        " AND (c.relname LIKE '\\_hyper%' OR c.relname LIKE '%materialized%')"
    )
    assert len(chunks) > 10
    with acting_as(wards, READER) as reader:
        for (chunk,) in chunks:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"SELECT * FROM {chunk} LIMIT 1".encode())  # noqa: S608
        # What the planner knows of columns is data too.
        statistics = "SELECT count(*) FROM pg_stats WHERE tablename LIKE '%hyper%' OR tablename = 'patient_vitals'"
        assert reader.execute(statistics.encode()).fetchone() == (0,)


def test_an_error_in_a_condition_discloses_no_row_of_another_ward(wards: Db) -> None:
    """Without security_barrier the division would be tried on every row, and its error say that such a row exists."""
    probe = "SELECT count(*) FROM patient_vitals WHERE 1 / (CASE WHEN device_id = 'bed-002' THEN 0 ELSE 1 END) = 1"
    with acting_as(wards, READER) as reader:
        row = reader.execute(probe.encode()).fetchone()
        assert row is not None
        assert int(str(row[0])) > 0
    with acting_as(wards, OTHER) as other, pytest.raises(psycopg.errors.DivisionByZero):
        other.execute(probe.encode())


def test_a_query_for_a_time_reads_its_chunks_only(wards: Db) -> None:
    """Comparisons of times go through the barrier, so a chart of an hour does not read twenty days."""
    explain = "EXPLAIN SELECT avg(heart_rate) FROM {} WHERE device_id = 'bed-001' AND time > '{}' AND time < '{}'"
    (start, end) = wards.rows(
        "SELECT max(time) - interval '26 hours', max(time) - interval '25 hours' FROM patient_vitals"
    )[0]
    with acting_as(wards, READER) as reader:
        plan = "\n".join(str(line) for (line,) in reader.execute(explain.format("patient_vitals", start, end).encode()))
        assert 0 < plan.count("Scan") - plan.count("reader_ward") <= 3, plan
        assert "bed-001" in plan


def test_the_columnstore_shows_the_ward_only(wards: Db) -> None:
    count = "SELECT count(*), min(heart_rate), max(ward) FROM patient_vitals WHERE time < now() - interval '10 days'"
    with acting_as(wards, READER) as reader:
        before = reader.execute(count.encode()).fetchone()
    chunks = "FROM show_chunks('patient_vitals', older_than => now() - interval '15 days') AS chunk"
    community = wards.one("SELECT community FROM vitalflow_edition")
    if community:  # the Apache edition has no columnstore
        assert len(wards.rows(f"SELECT compress_chunk(chunk) {chunks}")) > 2
    try:
        with acting_as(wards, READER) as reader:
            assert reader.execute(count.encode()).fetchone() == before
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute("TABLE public.patient_vitals")
    finally:
        if community:
            with psycopg.connect(wards.owner_url, autocommit=True) as owner:
                owner.execute(f"SELECT decompress_chunk(chunk) {chunks}".encode())


def test_granting_and_revoking_apply_from_the_next_query_on(wards: Db) -> None:
    count = "SELECT count(DISTINCT ward) FROM patient_vitals"
    with acting_as(wards, OTHER) as other:
        assert other.execute(count.encode()).fetchone() == (1,)
    with connect(wards.owner_url) as owner:
        assert grant_ward(owner, OTHER, [WARD], None) is None, "it keeps its password"
        assert wards_of(owner)[OTHER] == [WARD, ELSEWHERE]
    with acting_as(wards, OTHER) as other:
        assert other.execute(count.encode()).fetchone() == (2,)
    with connect(wards.owner_url) as owner:
        assert not revoke_ward(owner, OTHER, [WARD])
        with pytest.raises(PermanentError, match="does not read 'icu-1'; it reads icu-2"):
            revoke_ward(owner, OTHER, [WARD])
    with acting_as(wards, OTHER) as other:
        assert other.execute(count.encode()).fetchone() == (1,)


@pytest.mark.parametrize(
    ("role", "ward", "said"),
    [
        ("vitalflow_reader", "icu-1", "exists and was not created by grant-ward"),
        (GROUP, "icu-1", "exists and was not created by grant-ward"),
        ("postgres; DROP TABLE device", "icu-1", "invalid name .*; use lower-case letters"),
        ("Reader", "icu-1", "invalid name .*; use lower-case letters"),
        ("reader", "", "invalid ward ''"),
        ("reader", "icu/1", "invalid ward 'icu/1'"),
        ("reader", "a\x00b", "invalid ward"),
    ],
)
def test_roles_that_cannot_become_ward_readers(wards: Db, role: str, ward: str, said: str) -> None:
    with connect(wards.owner_url) as owner, pytest.raises(PermanentError, match=said):
        grant_ward(owner, role, [ward], None)

"""A dump of the Community edition, as `vitalflow backup` makes it, is restored with its columnstore, rollups and jobs.

The WebAssembly build ends when pg_restore sends it a COPY, hence INSERT in the dump.
"""

import subprocess

import psycopg

from sql.connection import Connection
from stack.binaries import find
from stack.servers import POSTGRES
from tests.fixtures.community import MakeCommunity, MakeMigrated
from tests.support.migrate import migrate
from tests.support.servers import community_db

READINGS = """
    INSERT INTO patient_vitals (time, ward, device_id, boot, seq, heart_rate, status)
    SELECT now() - g * interval '5 minutes', 'icu-1', 'bed-1', 1, g, 70, 'NORMAL' FROM generate_series(1, 6000) AS g"""
FACTS = """
    SELECT (SELECT count(*) FROM patient_vitals),
           (SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed),
           (SELECT array_agg(proc_name || schedule_interval ORDER BY proc_name) FROM timescaledb_information.jobs),
           (SELECT count(*) FROM vitals_1m),
           (SELECT count(*) FROM vitals_1h),
           (SELECT count(*) FROM vitals_1d)"""


def run(program: str, url: str, *options: str, content: bytes = b"") -> bytes:
    """Run a program of PostgreSQL on a database."""
    binaries = find()
    line = binaries.command(POSTGRES, f"{binaries.postgresql}/{program}", "-d", url, *options)
    ended = subprocess.run(line, input=content, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def facts(connection: Connection) -> tuple[object, ...]:
    row = connection.execute(FACTS).fetchone()
    assert row is not None
    return row


def test_a_dump_is_restored_with_columnstore_rollups_and_jobs(
    make_community: MakeCommunity, make_migrated: MakeMigrated
) -> None:
    with make_migrated() as db:
        url = db.owner_url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(READINGS)
            connection.execute("SELECT compress_chunk(c) FROM show_chunks('patient_vitals', INTERVAL '10 days') c")
            for name in ("vitals_1m", "vitals_1h", "vitals_1d"):
                connection.execute(f"CALL refresh_continuous_aggregate('{name}', NULL, NULL)".encode())
            before = facts(connection)
        dump = run("pg_dump", url, "--format=custom", "--rows-per-insert=500")
    assert before[0] == before[3] == 6000
    assert int(str(before[1])) >= 8, "chunks in the columnstore"
    with make_community() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            for role in (
                "vitalflow_ingest",
                "vitalflow_reader",
                "vitalflow_names",
                "vitalflow_research",
                "vitalflow_import",
                "vitalflow_ward_reader",
            ):
                exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone()
                if exists is None:
                    connection.execute(f"CREATE ROLE {role}".encode())
            connection.execute("SELECT timescaledb_pre_restore()")
        run("pg_restore", url, "--exit-on-error", content=dump)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT timescaledb_post_restore()")
            assert facts(connection) == before
        migrate(community_db(url)).expect_success()
        with psycopg.connect(url, autocommit=True) as connection:
            assert facts(connection) == before, "migrate changes nothing"

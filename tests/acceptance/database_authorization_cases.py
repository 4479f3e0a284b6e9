"""Attempts to exceed a database role's rights, each with the reason it must fail for and what is allowed.

`test_database_authorization.py` makes every attempt on a real server, as the real login. Others may take the list.
"""

from dataclasses import dataclass

NO_PRIVILEGE, READ_ONLY, CANCELLED = "42501", "25006", "57014"
LIFTED = "SET default_transaction_read_only = off"  # manners, which anyone may lay aside
SHORT = "SET statement_timeout = '300ms'"

READING = (
    "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, status, received_at)"
    " VALUES (now(), 'bed-x', 1, 1, 'icu-1', 'NORMAL', now())"
)
RECORD = (
    "INSERT INTO audit_event (time, received_at, actor, action, detail, topic, payload_sha256)"
    " VALUES (now(), now(), 'ada', 'acknowledge', '{}', 't', '')"
)


@dataclass(frozen=True)
class Attempt:
    """One thing that must not work.

    who        the login: ingest, reader, names, research, import, ward_reader (a reader of the ward icu-1 alone)
    attempt    statements, of which the last one must fail
    reason     the SQLSTATE of that failure: any other one would be luck
    allowed    a statement that the same login may do, so that the failure says something
    """

    who: str
    name: str
    attempt: tuple[str, ...]
    allowed: str
    reason: str = NO_PRIVILEGE


ATTEMPTS = [
    # Ingest is what hostile messages reach first. Whoever took it over could add, and not look back or wipe his traces.
    Attempt("ingest", "reads readings back", ("SELECT * FROM patient_vitals",), READING),
    Attempt("ingest", "looks for one by a returning insert", (READING + " RETURNING *",), READING),
    Attempt("ingest", "changes a reading", ("UPDATE patient_vitals SET heart_rate = 60",), READING),
    Attempt(
        "ingest",
        "changes one by way of a conflict",
        (READING + " ON CONFLICT (device_id, time, boot, seq) DO UPDATE SET heart_rate = 60",),
        READING + " ON CONFLICT DO NOTHING",
    ),
    Attempt("ingest", "removes readings", ("DELETE FROM patient_vitals",), "SELECT drop_old_readings()"),
    Attempt("ingest", "drops chunks", ("SELECT drop_chunks('patient_vitals', now())",), "SELECT drop_old_readings()"),
    Attempt("ingest", "reads what was rejected", ("SELECT payload FROM rejected_message",), READING),
    Attempt("ingest", "reads who did what", ("SELECT actor, detail FROM audit_event",), RECORD),
    Attempt("ingest", "rewrites who did it", ("UPDATE audit_event SET actor = 'another user'",), RECORD),
    Attempt("ingest", "unwrites it", ("DELETE FROM audit_event",), RECORD),
    Attempt("ingest", "shortens the retention", ("UPDATE retention_setting SET period = '0 s'",), READING),
    Attempt("ingest", "makes a table", ("CREATE TABLE public.mine (x int)",), "CREATE TEMP TABLE mine (x int)"),
    Attempt("ingest", "makes a schema", ("CREATE SCHEMA mine",), READING),
    Attempt("ingest", "makes itself superuser", ("ALTER ROLE CURRENT_USER SUPERUSER",), READING),
    Attempt("ingest", "becomes the owner", ("SET ROLE vitalflow",), "SET ROLE vitalflow_ingest"),
    Attempt("ingest", "takes the owner's name", ("SET SESSION AUTHORIZATION vitalflow",), READING),
    Attempt("ingest", "makes itself a reader", ("GRANT vitalflow_reader TO vitalflow_ingest",), READING),
    Attempt("ingest", "reads password hashes", ("SELECT rolpassword FROM pg_authid",), "SELECT rolname FROM pg_roles"),
    Attempt("ingest", "runs a program", ("COPY patient_vitals FROM PROGRAM 'id'",), READING),
    Attempt("ingest", "reads a file", ("SELECT pg_read_file('/etc/passwd')",), READING),
    Attempt("ingest", "loads a library", ("LOAD '/tmp/mine.so'",), READING),
    Attempt("ingest", "writes a large object", ("SELECT lo_create(0)",), READING),
    Attempt("ingest", "asks without an end", (SHORT, "SELECT pg_sleep(10)"), "SELECT pg_sleep(0)", CANCELLED),
    Attempt("ingest", "changes a late reading", ("UPDATE late_reading SET reading = '{}'",), "TABLE late_reading"),
    Attempt("ingest", "reads assignments", ("TABLE assignment",), READING),
    Attempt("ingest", "reads the readers' view", ("SELECT * FROM by_ward.patient_vitals",), READING),
    *(
        Attempt(who, f"is refused: {statement}", (LIFTED, statement), allowed)
        for who, allowed in (("ingest", READING), ("reader", "TABLE patient_vitals"))
        for statement in (
            "TRUNCATE patient_vitals", "DROP TABLE patient_vitals", "DELETE FROM patient_vitals", "DELETE FROM device",
            "SELECT drop_chunks('patient_vitals', older_than => now())", "DELETE FROM vitalflow_migration",
            "UPDATE rejected_message SET reason = 'none'", "DELETE FROM rejected_message", "CREATE TABLE mine (x int)",
            "UPDATE alert_snapshot SET readings = '{}'", "DELETE FROM assignment", "CREATE ROLE friend",
            "UPDATE assignment SET patient_id = 'p-9'",
        )
    ),
    # The reader is what Grafana logs in as, so whoever may write a panel may try any SQL.
    Attempt("reader", "writes", (READING,), "SELECT count(*) FROM patient_vitals", READ_ONLY),
    Attempt("reader", "writes, not read-only", (LIFTED, READING), "SELECT count(*) FROM patient_vitals"),
    Attempt("reader", "changes", (LIFTED, "UPDATE patient_vitals SET heart_rate = 60"), "TABLE patient_vitals"),
    Attempt("reader", "rewrites the record", (LIFTED, "UPDATE audit_event SET actor = 'me'"), "TABLE audit_event"),
    Attempt("reader", "makes a temporary table", (LIFTED, "CREATE TEMP TABLE mine (x int)"), "TABLE device"),
    Attempt(
        "reader",
        "makes a function",
        (LIFTED, "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        "SELECT * FROM news2(18, 97, false, 120, 70, 'A', 37)",
    ),
    Attempt("reader", "writes a large object", (LIFTED, "SELECT lo_from_bytea(0, 'x')"), "TABLE device"),
    Attempt("reader", "drops readings", (LIFTED, "SELECT drop_old_readings()"), "SELECT * FROM ingest_health()"),
    Attempt("reader", "gives a ward away", (LIFTED, "INSERT INTO reader_ward VALUES ('x', 'y')"), "TABLE reader_ward"),
    Attempt("reader", "reads password hashes", ("SELECT passwd FROM pg_shadow",), "SELECT usename FROM pg_user"),
    Attempt("reader", "runs a program", ("COPY (SELECT 1) TO PROGRAM 'id'",), "COPY (TABLE patient_vitals) TO STDOUT"),
    Attempt("reader", "writes a file", ("COPY (SELECT 1) TO '/tmp/mine'",), "COPY (TABLE patient_vitals) TO STDOUT"),
    Attempt("reader", "becomes ingest", ("SET ROLE vitalflow_ingest",), "SET ROLE vitalflow_reader"),
    Attempt("reader", "ends other connections", ("SELECT pg_reload_conf()",), "SELECT pg_backend_pid()"),
    Attempt("reader", "asks without an end", (SHORT, "SELECT pg_sleep(10)"), "SELECT pg_sleep(0)", CANCELLED),
    Attempt("reader", "sorts more than the disk", ("SET temp_file_limit = -1",), "SHOW temp_file_limit"),
    Attempt("reader", "removes late readings", (LIFTED, "DELETE FROM late_reading"), "TABLE late_reading"),
    Attempt("reader", "copies readings", (LIFTED, "SELECT take_alert_snapshots(1)"), "TABLE alert_snapshot"),
    Attempt("reader", "reads names of patients", ("TABLE names.patient_name",), "TABLE assignment"),
    Attempt("ingest", "reads names of patients", ("TABLE names.patient_name",), "SELECT drop_old_names()"),
    Attempt("names", "reads readings", ("TABLE patient_vitals",), "TABLE names.patient_name"),
    Attempt("names", "reads the audit log", ("TABLE audit_event",), "TABLE names.patient_name"),
    Attempt("names", "reads assignments", ("TABLE assignment",), "TABLE names.patient_name"),
    Attempt("names", "reads alerts", ("TABLE alert_event",), "TABLE names.patient_name"),
    Attempt("names", "reads the board of a ward", ("TABLE ward_board",), "TABLE names.patient_name"),
    Attempt("names", "deletes names by age", ("SELECT drop_old_names()",), "TABLE names.patient_name"),
    Attempt("names", "becomes a reader", ("SET ROLE vitalflow_reader",), "SET ROLE vitalflow_names"),
    Attempt("research", "reads names of patients", ("TABLE names.patient_name",), "TABLE assignment"),
    Attempt("research", "reads the audit log", ("TABLE audit_event",), "TABLE vitals_1h"),
    Attempt("research", "reads alerts", ("TABLE alert_event",), "TABLE all_vitals"),
    Attempt("research", "reads what was rejected", ("TABLE rejected_message",), "TABLE patient_vitals"),
    Attempt("research", "changes", (LIFTED, "UPDATE patient_vitals SET heart_rate = 60"), "TABLE patient_vitals"),
    Attempt("research", "makes a temporary table", (LIFTED, "CREATE TEMP TABLE mine (x int)"), "TABLE device"),
    Attempt("research", "becomes a reader", ("SET ROLE vitalflow_reader",), "SET ROLE vitalflow_research"),
    Attempt("import", "reads readings", ("TABLE imported_vitals",), "TABLE vitalflow_edition"),
    Attempt("import", "stores a reading of the present", (READING,), "SELECT begin_import()"),
    Attempt("import", "makes a temporary table", ("CREATE TEMP TABLE import_stage (x int)",), "SELECT begin_import()"),
    Attempt("import", "writes the audit log", ("INSERT INTO audit_event DEFAULT VALUES",),
            "SELECT record_import('a', true, 'b', 'c', '{}')"),
    Attempt("ingest", "imports", ("SELECT begin_import()",), "SELECT drop_old_names()"),
    Attempt("ward_reader", "reads names of patients", ("TABLE names.patient_name",), "TABLE device"),
    # A reader of one ward; tests/community/test_wards.py has more, on both editions.
    Attempt("ward_reader", "becomes the reader of all", ("SET ROLE vitalflow_reader",), "TABLE device"),
    Attempt("ward_reader", "takes the owner's name", ("SET SESSION AUTHORIZATION vitalflow",), "TABLE device"),
    Attempt("ward_reader", "makes a function that reads a table",
            (LIFTED, "CREATE FUNCTION pg_temp.peep() RETURNS int LANGUAGE sql AS 'SELECT 1'"), "TABLE device"),
]  # fmt: skip

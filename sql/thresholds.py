"""SQL functions with the thresholds of `vitals.thresholds`, so that dashboards and services judge a bed alike."""

from psycopg import sql

from vitals.thresholds import NEWS2_MAX_AGE, SILENT_AFTER, SILENT_INTERVALS, VERDICT_MAX_AGE

_FUNCTIONS = sql.SQL("""
CREATE OR REPLACE FUNCTION silent_after(interval_s float8) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest({silent_after}, {intervals} * make_interval(secs => interval_s))
$$;
COMMENT ON FUNCTION silent_after IS 'age of its last reading above which a bed is silent; interval_s: NULL if unknown';
CREATE OR REPLACE FUNCTION news2_max_age(input text) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE input {cases} END
$$;
COMMENT ON FUNCTION news2_max_age IS 'how long an input of NEWS2 is valid, counted from the bed''s last reading';
CREATE OR REPLACE FUNCTION verdict_max_age() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {verdict_max_age}::interval
$$;
COMMENT ON FUNCTION verdict_max_age IS 'how much older than the last reading a value may be for the verdict CRITICAL';
""")


def create_functions() -> sql.Composed:
    """Return the statements that create or replace `silent_after(interval_s)` and `news2_max_age(input)`."""
    cases = [sql.SQL("WHEN {} THEN {}").format(key, max_age) for key, max_age in NEWS2_MAX_AGE.items()]
    return _FUNCTIONS.format(
        silent_after=SILENT_AFTER,
        intervals=sql.Literal(SILENT_INTERVALS),
        cases=sql.SQL(" ").join(cases),
        verdict_max_age=VERDICT_MAX_AGE,
    )

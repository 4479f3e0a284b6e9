"""SQL functions with the thresholds of `vitals.thresholds`, so that dashboards and services judge a bed alike."""

from psycopg import sql

from vitals.signs import SIGNS, Sign
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
CREATE OR REPLACE FUNCTION is_critical(sign text, value real) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE sign {critical} END
$$;
COMMENT ON FUNCTION is_critical IS 'whether a value is beyond the critical limit of its sign; NULL without one';
COMMENT ON FUNCTION verdict_max_age IS 'how much older than the last reading a value may be for the verdict CRITICAL';
""")


def _limits(sign: Sign) -> list[sql.Composable]:
    """Return the conditions under which a value of a sign is critical; none for a sign without a critical limit."""
    above = [] if sign.critical_above is None else [sql.SQL("value > {}").format(sql.Literal(sign.critical_above))]
    below = [] if sign.critical_below is None else [sql.SQL("value < {}").format(sql.Literal(sign.critical_below))]
    return [*above, *below]


def _critical(sign: Sign) -> sql.Composed:
    return sql.SQL("WHEN {} THEN {}").format(sign.key, sql.SQL(" OR ").join(_limits(sign)))


def create_functions() -> sql.Composed:
    """Return the statements that create or replace `silent_after(interval_s)` and `news2_max_age(input)`."""
    cases = [sql.SQL("WHEN {} THEN {}").format(key, max_age) for key, max_age in NEWS2_MAX_AGE.items()]
    return _FUNCTIONS.format(
        silent_after=SILENT_AFTER,
        intervals=sql.Literal(SILENT_INTERVALS),
        cases=sql.SQL(" ").join(cases),
        verdict_max_age=VERDICT_MAX_AGE,
        critical=sql.SQL(" ").join(_critical(sign) for sign in SIGNS if _limits(sign)),
    )

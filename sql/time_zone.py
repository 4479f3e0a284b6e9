"""The time zone in which the days of a ward are counted: stored in the database, so that every session agrees."""

from sql.connection import Connection
from vitals.errors import PermanentError


def set_time_zone(connection: Connection, time_zone: str, ward: str = "") -> None:
    """Set the time zone of a ward, by default of all wards without one. Raises PermanentError for an unknown zone."""
    known = connection.execute("SELECT name FROM pg_timezone_names WHERE name = %s", [time_zone]).fetchone()
    if known is None:
        raise PermanentError(
            f"the database does not know the time zone {time_zone[:60]!r}; expected an IANA name, like Europe/Berlin"
        )
    connection.execute(
        "INSERT INTO time_zone_setting (ward, time_zone) VALUES (%s, %s)"
        " ON CONFLICT (ward) DO UPDATE SET time_zone = excluded.time_zone",
        [ward, time_zone],
    )

"""A database in the state that an earlier version left behind."""

from pathlib import Path

import psycopg

from sql.files import numbered, text
from sql.migrate import connect
from tests.support.servers import Db

VERSION_0_1_0 = Path(__file__).parent.parent / "data/schema_0007"


def bring_to(db: Db, number: int) -> None:
    """What migrate made of a database when these were all migrations that there were."""
    with psycopg.connect(db.owner_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute(
            "CREATE TABLE vitalflow_migration"
            " (name text PRIMARY KEY, body text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for path in numbered("migrations")[:number]:
            connection.execute(text(path))
            connection.execute("INSERT INTO vitalflow_migration VALUES (%s, %s)", [path.name, text(path)])


def apply_version_0_1_0(db: Db, community: bool) -> None:
    """Create what version 0.1.0 made of an empty database on a server of one edition."""
    bring_to(db, 7)
    with connect(db.owner_url) as connection, connection.transaction():
        connection.execute("INSERT INTO vitalflow_edition (community) VALUES (%s)", [community])
        connection.execute(
            "INSERT INTO vitalflow_period VALUES ('raw_retention', '30 days'), ('minute_retention', '365 days'),"
            " ('compress_after', '7 days'), ('late_after', '6 hours')"
        )
        edition = "2_community.sql" if community else "2_apache.sql"
        for name in ("1_editions.sql", edition, "3_always.sql"):
            connection.execute(text(VERSION_0_1_0 / name))

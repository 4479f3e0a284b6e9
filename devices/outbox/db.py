"""The kind of file that an outbox is; `vitals.sqlite_file` opens it."""

from vitals.sqlite_file import Kind

VERSION = 1

SCHEMA = """
CREATE TABLE device (
    number INTEGER PRIMARY KEY,
    ward TEXT NOT NULL,
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,                -- of the last start
    receipts INTEGER NOT NULL DEFAULT 0,  -- 1: in use
    UNIQUE (ward, device)
) STRICT;
CREATE TABLE reading (                    -- unsent or unconfirmed, as published
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (device, boot, seq)
) STRICT, WITHOUT ROWID;
"""

OUTBOX = Kind(
    name="an outbox file",
    content="readings",
    application=0x56464F42,  # "VFOB"
    version=VERSION,
    schema=SCHEMA,
    copies=(
        (
            "SELECT number, ward, device, boot, receipts FROM device ORDER BY number {order}",
            "INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?, ?)",
        ),
        (
            "SELECT device, boot, seq, payload FROM reading ORDER BY device {order}, boot {order}, seq {order}",
            "INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?)",
        ),
    ),
    count="SELECT count(*) FROM reading",
)

"""The kind of file that an inbox is; `vitals.sqlite_file` opens it."""

from vitals.sqlite_file import Kind

_STORED = """CREATE TABLE stored (         -- values of webhooks, each of which is stored once
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,             -- digest of device, time, sign and value
    received REAL NOT NULL
) STRICT;
"""
_HISTORY = """CREATE TABLE episode (      -- the last values of cuffs and thermometers, which monitors repeat
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    ward TEXT NOT NULL,
    device TEXT NOT NULL,
    sign TEXT NOT NULL,
    time TEXT NOT NULL,                   -- empty: the value has no time of its own
    value REAL NOT NULL,
    UNIQUE (ward, device, sign, time)
) STRICT;
CREATE TABLE measured (                   -- continuous signs of which a device had a value
    ward TEXT NOT NULL,
    device TEXT NOT NULL,
    sign TEXT NOT NULL,
    patient TEXT,                         -- the last one who had a value
    PRIMARY KEY (ward, device, sign)
) STRICT, WITHOUT ROWID;
"""
_SCHEMA = (
    """
CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,             -- SHA-256 of source and content
    received REAL NOT NULL,               -- unix seconds, as all times here
    answers BLOB NOT NULL                 -- a list in MessagePack
) STRICT;
CREATE TABLE device (
    number INTEGER PRIMARY KEY,
    ward TEXT NOT NULL,
    device TEXT NOT NULL,
    boot INTEGER NOT NULL,                -- of the last start with a message of it
    interval_s REAL,                      -- between two messages, as the site states it
    UNIQUE (ward, device)
) STRICT;
CREATE TABLE reading (                    -- without a receipt, as published
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received REAL NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (device, boot, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE unplaced (                   -- readings of places that the site does not name
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    received REAL NOT NULL,
    location BLOB NOT NULL,               -- edges.config.places.Location in MessagePack
    interval_s REAL,
    payload BLOB NOT NULL                 -- without boot and seq
) STRICT;
CREATE TABLE unused (                     -- observations that are not used
    source TEXT NOT NULL,
    code TEXT NOT NULL,
    unit TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,                 -- of the last one
    count INTEGER NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (source, code, unit, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE queued (                     -- what else is to be done, in this order
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE admission (                  -- events of admissions, for their order
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,          -- of the event, not of its message
    patient TEXT,                         -- whose place it states, in lower case; NULL for an update
    time REAL NOT NULL,                   -- as its sender states it
    event BLOB NOT NULL,                  -- as JSON
    finished REAL,
    effect TEXT                           -- NULL: not applied yet
) STRICT;
CREATE INDEX admission_waiting ON admission (number) WHERE effect IS NULL;
CREATE INDEX admission_of_patient ON admission (patient, time);
CREATE INDEX admission_finished ON admission (finished);
"""
    + _STORED
    + _HISTORY
)

INBOX = Kind(
    name="an inbox",
    content="readings",
    application=0x56464942,  # "VFIB"
    version=3,
    schema=_SCHEMA,
    copies=(
        ("SELECT * FROM message ORDER BY number {order}", "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?)"),
        ("SELECT * FROM device ORDER BY number {order}", "INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?, ?)"),
        (
            "SELECT * FROM reading ORDER BY device {order}, boot {order}, seq {order}",
            "INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?)",
        ),
        ("SELECT * FROM unplaced ORDER BY number {order}", "INSERT OR IGNORE INTO unplaced VALUES (?, ?, ?, ?, ?)"),
        (
            "SELECT * FROM unused ORDER BY source {order}, code {order}, unit {order}, reason {order}",
            "INSERT OR IGNORE INTO unused VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ),
        ("SELECT * FROM queued ORDER BY number {order}", "INSERT OR IGNORE INTO queued VALUES (?, ?, ?)"),
        (
            "SELECT * FROM admission ORDER BY number {order}",
            "INSERT OR IGNORE INTO admission VALUES (?, ?, ?, ?, ?, ?, ?)",
        ),
        ("SELECT * FROM stored ORDER BY number {order}", "INSERT OR IGNORE INTO stored VALUES (?, ?, ?)"),
        ("SELECT * FROM episode ORDER BY number {order}", "INSERT OR IGNORE INTO episode VALUES (?, ?, ?, ?, ?, ?)"),
        (
            "SELECT * FROM measured ORDER BY ward {order}, device {order}, sign {order}",
            "INSERT OR IGNORE INTO measured VALUES (?, ?, ?, ?)",
        ),
    ),
    count="SELECT count(*) FROM reading",
    synchronous="FULL",
    readable=True,
    upgrades={1: _STORED, 2: _HISTORY},
)

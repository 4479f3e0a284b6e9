"""Database errors are classified by what to do next: reject the row, or retry; never drop."""

import psycopg
import pytest
from psycopg import errors

from ingest.store import BatchRejected, DatabaseUnavailable, UnexpectedDatabaseError, classify_error


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (errors.NumericValueOutOfRange(), BatchRejected),  # 22003
        (errors.UntranslatableCharacter(), BatchRejected),  # 22P05
        (errors.CheckViolation(), BatchRejected),  # 23514
        (errors.NotNullViolation(), BatchRejected),  # 23502
        (errors.ConnectionFailure(), DatabaseUnavailable),  # 08006
        (errors.DeadlockDetected(), DatabaseUnavailable),  # 40P01
        (errors.SerializationFailure(), DatabaseUnavailable),  # 40001
        (errors.DiskFull(), DatabaseUnavailable),  # 53100
        (errors.TooManyConnections(), DatabaseUnavailable),  # 53300
        (errors.LockNotAvailable(), DatabaseUnavailable),  # 55P03
        (errors.AdminShutdown(), DatabaseUnavailable),  # 57P01
        (errors.CrashShutdown(), DatabaseUnavailable),  # 57P02
        (errors.CannotConnectNow(), DatabaseUnavailable),  # 57P03
        (errors.QueryCanceled(), DatabaseUnavailable),  # 57014
        (psycopg.OperationalError("server closed the connection unexpectedly"), DatabaseUnavailable),
        (psycopg.InterfaceError("the connection is closed"), DatabaseUnavailable),
        (errors.UndefinedTable(), UnexpectedDatabaseError),  # 42P01
        (errors.InsufficientPrivilege(), UnexpectedDatabaseError),  # 42501
        (errors.InternalError_(), UnexpectedDatabaseError),  # XX000
        (errors.ReadOnlySqlTransaction(), DatabaseUnavailable),  # 25006: a standby, or a setting; it passes
        (psycopg.ProgrammingError("no SQLSTATE, and not the network"), UnexpectedDatabaseError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_classified_by_its_sqlstate(error: psycopg.Error, family: type[Exception]) -> None:
    assert type(classify_error(error)) is family

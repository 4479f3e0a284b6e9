"""Errors by what to do next: refuse the row, wait quietly, or wait and say so loudly; never drop."""

import psycopg
import pytest
from psycopg import errors

from ingest.store import Away, Refused, Unexpected, sort_out


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (errors.NumericValueOutOfRange(), Refused),  # 22003
        (errors.UntranslatableCharacter(), Refused),  # 22P05
        (errors.CheckViolation(), Refused),  # 23514
        (errors.NotNullViolation(), Refused),  # 23502
        (errors.ConnectionFailure(), Away),  # 08006
        (errors.DeadlockDetected(), Away),  # 40P01
        (errors.SerializationFailure(), Away),  # 40001
        (errors.DiskFull(), Away),  # 53100
        (errors.TooManyConnections(), Away),  # 53300
        (errors.LockNotAvailable(), Away),  # 55P03
        (errors.AdminShutdown(), Away),  # 57P01
        (errors.CrashShutdown(), Away),  # 57P02
        (errors.CannotConnectNow(), Away),  # 57P03
        (errors.QueryCanceled(), Away),  # 57014
        (psycopg.OperationalError("server closed the connection unexpectedly"), Away),
        (psycopg.InterfaceError("the connection is closed"), Away),
        (errors.UndefinedTable(), Unexpected),  # 42P01
        (errors.InsufficientPrivilege(), Unexpected),  # 42501
        (errors.InternalError_(), Unexpected),  # XX000
        (errors.ReadOnlySqlTransaction(), Unexpected),  # 25006
        (psycopg.ProgrammingError("no SQLSTATE, and not the network"), Unexpected),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_sorted_by_its_sqlstate(error: psycopg.Error, family: type[Exception]) -> None:
    assert type(sort_out(error)) is family

"""Query the database with a timeout, few at the same time, so that one that is slow or down makes only queries fail."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

from sql.connection import describe_connect_error
from vitals.errors import PermanentError, TransientError

log = logging.getLogger("station")

MAX_CONCURRENT_QUERIES = 4  # further queries wait
CONNECT_S = 2
QUERY_TIMEOUT_S = 6.0  # for a result, the wait included
STATEMENT_MS = 5_000


class Ask(Protocol):
    """Runs a query with named parameters; returns its rows."""

    async def __call__(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """Return the rows."""


class Queries:
    """Queries to the database at a URL; without one it is not `enabled`, and every query raises TransientError.

    without_url   the sentence for users where there is no URL
    failed        the sentence for users where there is no result
    """

    def __init__(self, url: str | None, *, without_url: str, failed: str) -> None:
        self.enabled = url is not None
        self._url = url
        self._without_url, self._failed = without_url, failed
        self._turn = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)
        self._idle: list[psycopg.AsyncConnection[Any]] = []  # at most MAX_CONCURRENT_QUERIES
        self.failures = 0

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """Return a new connection; raises psycopg.Error."""
        return await psycopg.AsyncConnection.connect(
            self._url or "",
            autocommit=True,
            connect_timeout=CONNECT_S,
            prepare_threshold=None,  # a generic plan would read every chunk
            options=f"-c statement_timeout={STATEMENT_MS}",
            application_name="vitalflow station",
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Ask]:
        """Yield a function that runs queries on one connection, all within QUERY_TIMEOUT_S.

        Raises TransientError, and PermanentError for a parameter that is not valid.
        """
        if self._url is None:
            raise TransientError(self._without_url)
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S), self._turn, self._connection() as connection:

                async def ask(query: str, **parameters: object) -> list[dict[str, Any]]:
                    async with connection.cursor(row_factory=dict_row) as cursor:
                        await cursor.execute(query.encode(), parameters)
                        return await cursor.fetchall()

                yield ask
        except psycopg.errors.InvalidParameterValue as error:
            raise PermanentError(str(error).partition("\n")[0]) from None
        except (psycopg.Error, TimeoutError, OSError) as error:
            self.failures += 1
            log.warning("no answer from the database: %s", await self._reason(error, self._url) or "it took too long")
            raise TransientError(self._failed) from None

    async def ask(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """Return the rows of one query; raises as `session`."""
        async with self.session() as ask:
            return await ask(query, **parameters)

    async def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            await self._idle.pop().close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Yield a connection, one used before if it still works. An error in the block closes it."""
        connection = None
        while connection is None and self._idle:
            idle = self._idle.pop()
            try:
                await idle.execute("SELECT 1")
                connection = idle
            except psycopg.Error:  # the server was started again
                await idle.close()
        connection = connection or await self.connect()
        try:
            yield connection
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)

    @staticmethod
    async def _reason(error: Exception, url: str) -> str:
        if not isinstance(error, psycopg.Error):
            return str(error)
        if error.sqlstate is not None:  # without the server's detail, which may quote a row
            return f"{error.diag.message_primary} ({error.sqlstate})"
        # In a thread: the description of a certificate error opens a blocking connection to the server.
        return await asyncio.to_thread(describe_connect_error, error, url)

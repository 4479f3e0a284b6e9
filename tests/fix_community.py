"""TimescaleDB's Community edition for tests: an empty database at a time.

By default the WebAssembly build (tests/community/server.mjs), which is one backend and so one process a database. Where
VITALFLOW_TEST_COMMUNITY_URL names a native Community server (postgresql://SUPERUSER:PASSWORD@HOST:PORT/DATABASE, a
server for tests: its roles vitalflow_ingest and vitalflow_reader get the tests' passwords), each test gets a database
of its own there.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import pytest

from sql.migrate import INGEST_ROLE, READER_ROLE
from tests.community.server import SOURCE, native_database, webassembly
from tests.fix_servers import INGEST_PASSWORD, READER_PASSWORD, Db
from vitals.urls import without_password

NATIVE = "VITALFLOW_TEST_COMMUNITY_URL"

MakeCommunity = Callable[[], AbstractContextManager[str]]


def pytest_report_header(config: pytest.Config) -> str:
    url = os.environ.get(NATIVE)
    if url:
        return f"community: the native server {without_password(url)} ({NATIVE})"
    packages = json.loads((SOURCE / "package.json").read_text())["dependencies"]
    return "community: the WebAssembly build, " + ", ".join(f"{name} {version}" for name, version in packages.items())


@pytest.fixture(scope="session")
def make_community() -> MakeCommunity:
    """Makes empty databases: `with make_community() as owner_url`. For fixtures that last longer than one test."""
    url = os.environ.get(NATIVE)
    if url:
        return lambda: native_database(url)
    return webassembly


@pytest.fixture(scope="module")
def shared_community(make_community: MakeCommunity) -> Iterator[Db]:
    """One for all tests of a module: each costs seconds and half a gigabyte of memory."""
    with make_community() as url:
        yield community_db(url)


@pytest.fixture
def community_url(make_community: MakeCommunity) -> Iterator[str]:
    """An empty database of the Community edition, as its owner."""
    with make_community() as url:
        yield url


@pytest.fixture
def community(community_url: str) -> Db:
    """The same with its three logins, which `vitalflow db migrate` is still to make."""
    return community_db(community_url)


def community_db(owner_url: str) -> Db:
    return Db(
        owner_url,
        _as_user(owner_url, INGEST_ROLE, INGEST_PASSWORD),
        _as_user(owner_url, READER_ROLE, READER_PASSWORD),
    )


def _as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()

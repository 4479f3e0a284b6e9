"""The servers that a database URL names, and how the URL is shown. libpq accepts several: `host1:5432,host2:5432`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from psycopg.conninfo import conninfo_to_dict

DEFAULT_PORT = "5432"


class Address(NamedTuple):
    """Host and port of a server; the port is empty if the URL names none."""

    host: str
    port: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def addresses(url: str) -> list[Address]:
    """Return the servers of a URL in the order in which libpq tries them; raises psycopg.ProgrammingError."""
    options = conninfo_to_dict(url)
    hosts = str(options.get("host") or options.get("hostaddr") or "").split(",")
    ports = str(options.get("port") or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return [Address(host, port) for host, port in zip(hosts, ports, strict=False) if host]


def without_password(url: str) -> str:
    """Return a database URL with all of its servers, without password and parameters."""
    options = conninfo_to_dict(url)
    user = f"{options['user']}@" if options.get("user") else ""
    servers = ",".join(map(str, addresses(url)))
    database = f"/{options['dbname']}" if options.get("dbname") else ""
    return f"postgresql://{user}{servers}{database}"


def urls_of_one_host(url: str) -> Iterator[str]:
    """Return the URL once for each host that stands before its path; `urllib` cannot parse several hosts."""
    scheme, slashes, rest = url.partition("://")
    location = re.split("[/?#]", rest, maxsplit=1)[0]
    credentials, at, hosts = location.rpartition("@")
    for host in hosts.split(","):
        yield f"{scheme}{slashes}{credentials}{at}{host}{rest[len(location) :]}"


def with_writable_session(url: str) -> str:
    """Return a URL of several servers that connects to the one that accepts writes, unless it says otherwise.

    Without it libpq takes the first server that answers, which may be a standby.
    """
    if len(addresses(url)) < 2 or conninfo_to_dict(url).get("target_session_attrs"):
        return url
    return f"{url}{'&' if '?' in url else '?'}target_session_attrs=read-write"

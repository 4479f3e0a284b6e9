"""Health check of a container: `python -m mqtt.health`, which docker-compose.yml runs every few seconds.

Uses only the standard library, because it starts a new interpreter beside the service for every check.

    python -m mqtt.health 9464    /healthz of the service on this port answers that it works
    python -m mqtt.health         for a service without HTTP server: a connection to another machine is established
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_S = 4
ESTABLISHED = "01"
LOOPBACK = ("0100007F", "0B00007F", "00000000000000000000000001000000")  # 127.0.0.1, Docker's own DNS, ::1


def find_problem(port: int) -> str | None:
    """Return the reason that /healthz of the service on this port gives, or why it does not answer; None if healthy."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        try:
            return str(json.load(error)["reason"])
        except (OSError, ValueError, LookupError, TypeError):
            return f"/healthz on port {port} answers {error.code}"
    except OSError as error:
        return f"no answer on port {port}: {error}"


def has_remote_connection(table: str) -> bool:
    """Return whether /proc/net/tcp has an established connection to another machine (Linux, proc_net_tcp.txt)."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return any(row[3] == ESTABLISHED and not row[2].startswith(LOOPBACK) for row in rows if len(row) > 3)


def main(arguments: list[str]) -> int:
    """Print one line and return the exit code: 0 if healthy, else 1."""
    if arguments:
        problem = find_problem(int(arguments[0]))
    else:
        tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
        connected = any(has_remote_connection(table.read_text()) for table in tables if table.exists())
        problem = None if connected else "no connection to the broker"
    sys.stdout.write(f"{problem or 'healthy'}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

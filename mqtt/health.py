"""Health check of a container: `python -m mqtt.health`, which docker-compose.yml runs every few seconds.

Uses only the standard library, because it starts a new interpreter beside the service for every check.

    python -m mqtt.health 9464    the service with /metrics on this port is connected to the broker and not blocked by
                                  the database
    python -m mqtt.health         for a service without metrics: a connection to another machine is established
"""

import sys
import urllib.request
from pathlib import Path

TIMEOUT_S = 2
ESTABLISHED = "01"
LOOPBACK = ("0100007F", "0B00007F", "00000000000000000000000001000000")  # 127.0.0.1, Docker's own DNS, ::1


def find_problem(page: str) -> str | None:
    """Return what a page of metrics reports as wrong; None if the service is healthy.

    One metric must end in _mqtt_connected and be 1; each metric that ends in _database_blocked must be 0.
    """
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#") and " " in line)
    connected = [float(value) for name, value in values.items() if name.endswith("_mqtt_connected")]
    if connected != [1.0]:
        return "not connected to the broker"
    blocked = [name for name, value in values.items() if name.endswith("_database_blocked") and float(value)]
    return f"waiting for the database ({blocked[0]})" if blocked else None


def has_remote_connection(table: str) -> bool:
    """Return whether /proc/net/tcp has an established connection to another machine (Linux, proc_net_tcp.txt)."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return any(row[3] == ESTABLISHED and not row[2].startswith(LOOPBACK) for row in rows if len(row) > 3)


def main(arguments: list[str]) -> int:
    """Print one line and return the exit code: 0 if healthy, else 1."""
    if arguments:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{arguments[0]}/metrics", timeout=TIMEOUT_S) as response:
                problem = find_problem(response.read().decode())
        except OSError as error:
            problem = f"no answer on port {arguments[0]}: {error}"
    else:
        tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
        connected = any(has_remote_connection(table.read_text()) for table in tables if table.exists())
        problem = None if connected else "no connection to the broker"
    sys.stdout.write(f"{problem or 'healthy'}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

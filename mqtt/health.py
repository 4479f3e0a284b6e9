"""Does this container do its work? `python -m mqtt.health`, which docker-compose.yml asks every few seconds.

No reading comes by here. Light on purpose, the standard library only: it is started again and again beside the service.

    python -m mqtt.health 9464    the service that serves /metrics on this port says that it is connected, waits for
                                    nothing
    python -m mqtt.health         for a service without metrics: some connection to another machine is established
"""

import sys
import urllib.request
from pathlib import Path

PATIENCE = 2  # seconds
ESTABLISHED = "01"
LOOPBACK = ("0100007F", "0B00007F", "00000000000000000000000001000000")  # 127.0.0.1, Docker's own DNS, ::1


def trouble(page: str) -> str | None:
    """What a page of metrics says is wrong; None where all is well.

    A metric NAME_connected must be 1, and none NAME_waiting may be anything but 0.
    """
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#") and " " in line)
    connected = [float(value) for name, value in values.items() if name.endswith("_connected")]
    if connected != [1.0]:
        return "not connected to the broker"
    waiting = [name for name, value in values.items() if name.endswith("_waiting") and float(value)]
    return f"waiting for the database ({waiting[0]})" if waiting else None


def reaches_out(table: str) -> bool:
    """Whether /proc/net/tcp has an established connection to another machine (Linux, proc_net_tcp.txt)."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return any(row[3] == ESTABLISHED and not row[2].startswith(LOOPBACK) for row in rows if len(row) > 3)


def main(arguments: list[str]) -> int:
    """The exit code: 0 for well, 1 for not, with a sentence."""
    if arguments:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{arguments[0]}/metrics", timeout=PATIENCE) as answer:
                wrong = trouble(answer.read().decode())
        except OSError as error:
            wrong = f"no answer on port {arguments[0]}: {error}"
    else:
        tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
        there = any(reaches_out(table.read_text()) for table in tables if table.exists())
        wrong = None if there else "no connection to the broker"
    sys.stdout.write(f"{wrong or 'well'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

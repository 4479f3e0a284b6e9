"""A device that publishes without pause: `python -m tests.support.publish_flood`, a process so that it has a core.

It writes the packets itself at QoS 0: no client library could send so much, and no PUBACK limits the rate. Its settings
come on standard input, because they include a password.
"""

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from mqtt.endpoint import BrokerEndpoint
from mqtt.packets import packet, string_field
from stack.binaries import CHECKOUT
from tests.support.mqtt_probe import publish_packet


@contextmanager
def flooding(noisy: BrokerEndpoint, what: str, seconds: float, **rate: float) -> "Iterator[subprocess.Popen[str]]":
    """A device of icu-1 sends without end, in a process of its own; what it says in the end is how much."""
    device = str(noisy.username)
    settings: dict[str, Any] = {
        "host": noisy.host,
        "port": noisy.port,
        "ca": str(noisy.ca),
        "user": device,
        "password": noisy.password,
        "client_id": noisy.client_id(device),
        "topic": f"vitalflow/vitals/icu-1/{device}",
        "what": what,
        "seconds": seconds,
    }
    line = [sys.executable, "-m", "tests.support.publish_flood"]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, cwd=CHECKOUT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as flood:
        assert flood.stdin is not None
        json.dump(settings | rate, flood.stdin)
        flood.stdin.close()
        yield flood


def main() -> None:
    """Connect, send for so many seconds, say how much."""
    values = json.load(sys.stdin)
    context = ssl.create_default_context(cafile=values["ca"])
    with context.wrap_socket(
        socket.create_connection((values["host"], values["port"])), server_hostname=values["host"]
    ) as sock:
        login = b"".join(string_field(values[key].encode()) for key in ("client_id", "user", "password"))
        connect = string_field(b"MQTT") + b"\x04\xc2\x00\x3c" + login
        sock.sendall(packet(0x10, connect))
        sock.recv(4)
        payloads = {
            "small": [one(number) for number in range(500)],
            "large": [many()],
            "junk": [b"[" * 65_000],
            "huge": [b"[" * 130_000],
        }
        chunk = b"".join(publish_packet(values["topic"].encode(), payload) for payload in payloads[values["what"]])
        began, sent = time.monotonic(), 0
        pause = len(chunk) / values["bytes_a_second"] if "bytes_a_second" in values else 0.0
        while (now := time.monotonic()) < began + values["seconds"]:
            time.sleep(max(0.0, began + sent * pause / len(payloads[values["what"]]) - now))
            sock.sendall(chunk)
            sent += len(payloads[values["what"]])
    sys.stdout.write(f"{sent}\n")


def measured(number: int) -> dict[str, object]:
    time = datetime.now(UTC) - timedelta(milliseconds=number)
    return {"time": time.isoformat(), "boot": 1, "seq": number + 1, "heart_rate": 80, "spo2": 97}


def one(number: int) -> bytes:
    return json.dumps(measured(number)).encode()


def many() -> bytes:
    return json.dumps([measured(number) for number in range(400)]).encode()


if __name__ == "__main__":
    main()

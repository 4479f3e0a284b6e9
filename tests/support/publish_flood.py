"""A device that publishes without pause: `python -m tests.support.publish_flood`, a process so that it has a core.

Bytes by hand, QoS 0: no client library could send so much, and nothing tells it to wait. Its settings come on standard
input, for there is a password among them.
"""

import json
import socket
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta

from tests.support.mqtt_probe import publish_packet, remaining_length, string_field


def main() -> None:
    """Connect, send for so many seconds, say how much."""
    told = json.load(sys.stdin)
    context = ssl.create_default_context(cafile=told["ca"])
    with context.wrap_socket(
        socket.create_connection((told["host"], told["port"])), server_hostname=told["host"]
    ) as sock:
        login = b"".join(string_field(told[key].encode()) for key in ("client_id", "user", "password"))
        connect = string_field(b"MQTT") + b"\x04\xc2\x00\x3c" + login
        sock.sendall(b"\x10" + remaining_length(len(connect)) + connect)
        sock.recv(4)
        payloads = {
            "small": [one(number) for number in range(500)],
            "large": [many()],
            "junk": [b"[" * 65_000],
            "huge": [b"[" * 130_000],
        }
        chunk = b"".join(publish_packet(told["topic"].encode(), payload) for payload in payloads[told["what"]])
        began, sent = time.monotonic(), 0
        pause = len(chunk) / told["bytes_a_second"] if "bytes_a_second" in told else 0.0
        while (now := time.monotonic()) < began + told["seconds"]:
            time.sleep(max(0.0, began + sent * pause / len(payloads[told["what"]]) - now))
            sock.sendall(chunk)
            sent += len(payloads[told["what"]])
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

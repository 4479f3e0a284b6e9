"""An HL7 edge as a process, and senders that repeat what is not acknowledged."""

import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path

from stack.servers import free_port
from tests.support.process import ServiceProcess

WARD = "icu-1"
ANSWER_TIMEOUT_S = 10.0


def site_text(beds: Sequence[str], more: str = "") -> str:
    """Return a site whose places are these devices, each with its name as the bed in PV1-3.3."""
    places = [f'[[place]]\nunit = "ICU"\nbed = "{bed}"\nward = "{WARD}"\ndevice = "{bed}"\n' for bed in beds]
    return "\n".join(['zone = "UTC"\n[patients]\nauthority = ["HOSP"]\n', *places, more])


def report(bed: str, number: int, at: datetime, values: Mapping[str, float]) -> bytes:
    """Return an ORU^R01 with these codes and values, such as {"147842^MDC_ECG_HEART_RATE^MDC": 72}."""
    stamp = at.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f")[:-2] + "+0000"
    observations = [
        f"OBX|{place}|NM|{code}|1.6.1.{place}|{value:g}|{_UNITS[code[:6]]}|||||F"
        for place, (code, value) in enumerate(values.items(), 1)
    ]
    lines = [
        f"MSH|^~\\&|A TEST||||{stamp}||ORU^R01^ORU_R01|{bed}-{number}|P|2.6",
        f"PID|||{bed[-4:]}^^^HOSP",
        f"PV1||I|ICU^^{bed}",
        f"OBR|1|||182777000^monitoring of patient^SCT|||{stamp}",
        *observations,
    ]
    return "\r".join([*lines, ""]).encode()


_MMHG = "266016^MDC_DIM_MMHG^MDC"
_UNITS = {
    "147842": "264864^MDC_DIM_BEAT_PER_MIN^MDC",
    "150456": "262688^MDC_DIM_PERCENT^MDC",
    "151562": "264928^MDC_DIM_RESP_PER_MIN^MDC",
    "150364": "268192^MDC_DIM_DEGC^MDC",
    "150021": _MMHG,
    "150022": _MMHG,
}
HEART_RATE = "147842^MDC_ECG_HEART_RATE^MDC"
SPO2 = "150456^MDC_PULS_OXIM_SAT_O2^MDC"


class EdgesProcess(ServiceProcess):
    """A service of `vitalflow edges`, with its log and its metrics.

    command   such as ["hl7", "listen"]
    """

    metrics_prefix = "vitalflow_edges"

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], site: Path, inbox: Path, log: Path, *options: str
    ) -> None:
        self.metrics_port = free_port()
        arguments = ["edges", *command, "--site", str(site), "--inbox", str(inbox), *options]
        metrics = {"VITALFLOW_EDGES_METRICS_PORT": str(self.metrics_port)}
        super().__init__(["vitalflow", *arguments], {**os.environ, **environment, **metrics}, log)


class EdgeProcess(EdgesProcess):
    """`vitalflow edges hl7 listen`, or that of another kind, with its senders."""

    def __init__(
        self,
        environment: Mapping[str, str],
        site: Path,
        inbox: Path,
        log: Path,
        *options: str,
        listen: int = 0,
        kind: str = "hl7",
    ) -> None:
        self.port = listen or free_port()
        self._peers: list[Peer] = []
        address = f"127.0.0.1:{self.port}"
        super().__init__([kind, "listen"], environment, site, inbox, log, "--listen", address, *options)

    def connect(self) -> "Peer":
        """Return a new connection; `close_peers` closes it."""
        self._peers.append(peer := Peer(self.port))
        return peer

    def __exit__(self, *_: object) -> None:
        """Close all connections and kill it."""
        self.close_peers()
        super().__exit__()

    def close_peers(self) -> None:
        """Close all connections."""
        for peer in self._peers:
            peer.close()


class Peer:
    """One connection; `send` returns the answer's first code, such as AA. Raises OSError when the connection ends."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def send(self, message: bytes) -> str:
        """Send a message and return MSA-1."""
        self._socket.sendall(b"\x0b" + message + b"\x1c\r")
        while b"\x1c\r" not in self._rest:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the connection ended before the answer")
            self._rest += data
        answer, _, self._rest = self._rest.partition(b"\x1c\r")
        return answer.split(b"\rMSA|")[1][:2].decode()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class RepeatingSender(threading.Thread, ABC):
    """Sends one measurement after the other, each until it is acknowledged, until `finish`.

    acknowledged   times of the measurements, each of which has one reading
    repeats        how often one was sent once more
    """

    def __init__(self, port: int, bed: str, interval_s: float) -> None:
        super().__init__(name=f"sender of {bed}", daemon=True)
        self.bed = bed
        self.acknowledged: list[datetime] = []
        self.repeats = 0
        self.port = port
        self._interval_s = interval_s
        self._finished = threading.Event()
        self._begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    @abstractmethod
    def deliver(self, number: int) -> bool:
        """Send a measurement of the time `at(number)`; return whether it is acknowledged.

        Raises OSError without an answer, and HTTPException for half of one.
        """

    def at(self, number: int) -> datetime:
        """The time of a measurement."""
        return self._begin + timedelta(milliseconds=10 * number)

    def run(self) -> None:
        """Send until `finish`."""
        number = 0
        while not self._finished.wait(self._interval_s):
            try:
                acknowledged = self.deliver(number)
            except (OSError, HTTPException):
                acknowledged = False
            if acknowledged:
                self.acknowledged.append(self.at(number))
                number += 1
            else:
                self.repeats += 1

    def finish(self) -> None:
        """Send nothing more; returns after the last answer."""
        self._finished.set()
        self.join(2 * ANSWER_TIMEOUT_S)


class Hl7Sender(RepeatingSender):
    """Sends HL7 reports, each until AA."""

    _peer: Peer | None = None

    def deliver(self, number: int) -> bool:
        """Send a report."""
        message = report(self.bed, number, self.at(number), {HEART_RATE: 60 + number % 60})
        try:
            self._peer = self._peer or Peer(self.port)
            return self._peer.send(message) == "AA"
        except OSError:
            if self._peer is not None:
                self._peer.close()
            self._peer = None
            raise

    def finish(self) -> None:
        """Send nothing more, and close the connection."""
        super().finish()
        if self._peer is not None:
            self._peer.close()

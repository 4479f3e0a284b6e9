"""Wait for a message of a session, as the main loops of the services do."""

import select
from collections.abc import Sequence

from mqtt.session import Session
from mqtt.wake_socket import WakeSocket

RECONNECT_S = 0.1  # between two looks at a session without a connection


def wait_for_message(session: Session, wake: WakeSocket, timeout_s: float, pause_s: float = 0.0) -> bool:
    """Wait until a message can be read; return whether one can.

    Ends without one after `timeout_s`, when `wake` was called, and when the socket takes what is unsent.

    pause_s   how long not to read, whatever arrives (`mqtt.poll_throttle`). Pause and message are one wait, because the
              pass of a main loop between them would find nothing to do
    """
    number = session.fileno()
    if number is None:
        _wait(wake, [], [], min(timeout_s, RECONNECT_S))
        return False
    writers = [number] if session.unsent else []
    if pause_s > 0:
        if any(_wait(wake, [], writers, min(pause_s, timeout_s))) or pause_s >= timeout_s:
            return False
        timeout_s -= pause_s
    readable, _ = _wait(wake, [number], writers, timeout_s)
    return number in readable


def _wait(
    wake: WakeSocket, readers: Sequence[int], writers: Sequence[int], timeout_s: float
) -> tuple[Sequence[WakeSocket | int], Sequence[int]]:
    """Return what can be read, and what can be written."""
    watched: list[WakeSocket | int] = [wake, *readers]
    readable, writable, _ = select.select(watched, writers, [], max(0.0, timeout_s))
    if wake in readable:
        wake.drain()
    return readable, writable

"""`wait_for_message`: when a main loop goes on, and whether it reads."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from mqtt.session_wait import RECONNECT_S, wait_for_message
from mqtt.wake_socket import WakeSocket

LONG_S = 30.0  # no test waits so long


class Ends:
    """A connection: `session` is the end of a service, `broker` the other one."""

    def __init__(self, here: socket.socket, broker: socket.socket) -> None:
        self.broker = broker
        self.session: Any = SimpleNamespace(fileno=here.fileno, unsent=False)


@pytest.fixture
def ends() -> Iterator[Ends]:
    here, broker = socket.socketpair()
    with here, broker:
        yield Ends(here, broker)


@pytest.fixture
def wake() -> Iterator[WakeSocket]:
    with closing(WakeSocket()) as wake:
        yield wake


def test_a_message_ends_the_wait_and_can_be_read(ends: Ends, wake: WakeSocket) -> None:
    ends.broker.send(b"message")
    assert wait_for_message(ends.session, wake, LONG_S)


def test_without_a_message_the_wait_ends_in_time(ends: Ends, wake: WakeSocket) -> None:
    begun = time.monotonic()
    assert not wait_for_message(ends.session, wake, 0.05)
    assert not wait_for_message(ends.session, wake, -1.0)
    assert time.monotonic() - begun >= 0.05


def test_a_message_in_a_pause_is_read_after_it_in_the_same_call(ends: Ends, wake: WakeSocket) -> None:
    ends.broker.send(b"message")
    begun = time.monotonic()
    assert wait_for_message(ends.session, wake, LONG_S, pause_s=0.05)
    assert time.monotonic() - begun >= 0.05


def test_in_a_pause_that_is_longer_than_the_wait_nothing_is_read(ends: Ends, wake: WakeSocket) -> None:
    ends.broker.send(b"message")
    begun = time.monotonic()
    assert not wait_for_message(ends.session, wake, 0.05, pause_s=LONG_S)
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize("pause_s", [0.0, LONG_S])
def test_a_call_to_wake_ends_the_wait_once(ends: Ends, wake: WakeSocket, pause_s: float) -> None:
    threading.Timer(0.05, wake.wake).start()
    assert not wait_for_message(ends.session, wake, LONG_S, pause_s)
    ends.broker.send(b"message")
    assert wait_for_message(ends.session, wake, LONG_S)


@pytest.mark.parametrize("pause_s", [0.0, LONG_S])
def test_a_socket_that_takes_what_is_unsent_ends_the_wait_and_is_not_read(
    ends: Ends, wake: WakeSocket, pause_s: float
) -> None:
    ends.session.unsent = True
    assert not wait_for_message(ends.session, wake, LONG_S, pause_s)


def test_without_a_connection_the_next_look_comes_soon(wake: WakeSocket) -> None:
    session: Any = SimpleNamespace(fileno=lambda: None, unsent=True)
    begun = time.monotonic()
    assert not wait_for_message(session, wake, LONG_S, pause_s=LONG_S)
    assert RECONNECT_S <= time.monotonic() - begun < LONG_S

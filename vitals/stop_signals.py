"""Set events when the process gets a signal to stop."""

import _thread
import signal
from threading import Event

WITH_HANGUP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Of a program in a terminal, which may be closed."""


def set_on_signals(*events: Event, numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)) -> None:
    """Set the events, in this order, when one of the signals arrives.

    Not in the handler itself: it may interrupt `Event.wait` while that holds the lock of the event, for which `set`
    would wait for ever. `threading.Thread` takes locks of its own in the same way.
    """

    def set_all() -> None:
        for event in events:
            event.set()

    for number in numbers:
        signal.signal(number, lambda *_: _thread.start_new_thread(set_all, ()))

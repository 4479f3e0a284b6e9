"""Events that a signal sets."""

import signal
from threading import Event

from vitals.stop_signals import set_on_signals


def test_a_signal_that_interrupts_a_wait_while_it_holds_the_lock_sets_the_event() -> None:
    first, second = Event(), Event()
    before = signal.getsignal(signal.SIGUSR1)
    try:
        set_on_signals(first, second, numbers=(signal.SIGUSR1,))
        with first._cond:  # type: ignore[attr-defined]  # as `Event.wait` holds it
            signal.raise_signal(signal.SIGUSR1)
        assert first.wait(30)
        assert second.wait(30)
    finally:
        signal.signal(signal.SIGUSR1, before)

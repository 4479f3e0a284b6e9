"""Find that the clock of this host is wrong, by the readings of most devices, which are ahead of it. Pure."""

from collections.abc import Iterable

WINDOW_S = 60.0  # as long as most devices take for a reading
MAX_DEVICES = 50_000  # a client may publish under any number of device names


class ClockCheck:
    """Whether the last reading of each device was rejected for that, or taken, of those that sent in the last minute.

    One device alone says nothing: its own clock is wrong more often, which the alert `clock` states.
    """

    def __init__(self) -> None:
        self._ahead: dict[str, float] = {}
        self._taken: dict[str, float] = {}

    def reject(self, device: str, now: float) -> None:
        """Note that a reading of a device is ahead; `now` in seconds of a clock that cannot be set."""
        self._taken.pop(device, None)
        if len(self._ahead) < MAX_DEVICES:
            self._ahead[device] = now

    def take(self, devices: Iterable[str], now: float) -> None:
        """Note devices of which a reading is not ahead."""
        taken = dict.fromkeys(devices, now)
        for device in self._ahead.keys() & taken.keys():
            del self._ahead[device]
        if len(self._taken) >= MAX_DEVICES:
            self._taken.clear()
        self._taken |= taken

    def find_problem(self, now: float) -> str:
        """Return what is wrong, in one sentence; empty: nothing is."""
        if not self._ahead:
            return ""
        since = now - WINDOW_S
        self._ahead = {device: at for device, at in self._ahead.items() if at >= since}
        self._taken = {device: at for device, at in self._taken.items() if at >= since}
        ahead, taken = len(self._ahead), len(self._taken)
        if ahead < 2 or ahead <= taken:
            return ""
        return (
            f"readings of {ahead} devices, of {ahead + taken} that send, are more than 5 minutes ahead of the clock of "
            "this host and are rejected; set it, or theirs"
        )

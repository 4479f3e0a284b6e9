"""How long to wait before a process that died is started again. Pure: it is told times and takes none."""

from dataclasses import dataclass

FIRST = 0.5  # seconds; a crash is usually over at once
MOST = 10.0  # seconds; a person who repairs something should not wait longer than that
HEALTHY = 30.0  # seconds; who lived that long died of something new


@dataclass(slots=True)
class Backoff:
    """Half a second, doubling to ten; back to half a second after a healthy life."""

    pause: float = FIRST

    def after(self, lived: float) -> float:
        """The seconds to wait after a life of `lived` seconds."""
        now = FIRST if lived >= HEALTHY else self.pause
        self.pause = min(now * 2, MOST)
        return now

"""Send the same frames to several browsers. A slow one delays no other, and receives a snapshot instead of a backlog.

`views` has one hub for each set of wards. Each browser has a queue of one frame. If it is full when the next frame
arrives, the queued frame is dropped, and the browser receives a snapshot when it reads again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

HEAD, TAIL = b"data: ", b"\n\n"  # a server-sent event; JSON has no line end in it


class Subscriber:
    """One open page."""

    def __init__(self) -> None:
        self.frame: bytes | None = None
        self.behind = True  # at first: needs a snapshot
        self.leaves = False
        self.ready = asyncio.Event()
        self.ready.set()

    def leave(self) -> None:
        """End its stream."""
        self.leaves = True
        self.ready.set()


@dataclass(slots=True)
class SentCounts:
    """Numbers of what was sent, for the metrics."""

    frames: int = 0
    bytes: int = 0
    slow_clients: int = 0  # how often a frame was dropped for a slow browser


class Hub:
    """The browsers that see the same wards. `whole` encodes a snapshot."""

    def __init__(self, whole: Callable[[], bytes], sent: SentCounts) -> None:
        self.browsers: set[Subscriber] = set()
        self._sent = sent
        self._make_snapshot = whole
        self._kept: bytes | None = None  # the snapshot, for all browsers that need it before the next change

    def send(self, frame: bytes) -> None:
        """Queue the next frame for every browser."""
        self._kept = None
        for browser in self.browsers:
            if browser.frame is not None:
                browser.frame = None
                browser.behind = True
                self._sent.slow_clients += 1
            elif not browser.behind:
                browser.frame = frame
            browser.ready.set()

    async def stream(self, hello: bytes, browser: Subscriber) -> AsyncGenerator[bytes]:
        """Yield the events for one browser, until it disconnects or `leave` is called."""
        self.browsers.add(browser)
        try:
            yield b"retry: 500\nevent: hello\n" + HEAD + hello + TAIL
            while True:
                await browser.ready.wait()
                if browser.leaves:
                    return
                browser.ready.clear()
                frame, browser.frame = browser.frame, None
                if browser.behind:
                    browser.behind = False
                    frame = self._snapshot_frame()
                if frame is not None:
                    self._sent.frames += 1
                    self._sent.bytes += len(frame)
                    yield HEAD + frame + TAIL
        finally:
            self.browsers.discard(browser)

    def _snapshot_frame(self) -> bytes:
        if self._kept is None:
            self._kept = self._make_snapshot()
        return self._kept

"""The browsers that listen, and what each is to be sent next. A slow one holds up nobody, and gets no backlog.

Every browser has room for one frame. Where that is still full when the next comes, what it has not been sent is
dropped, and as soon as it reads on it is sent the whole ward as it then stands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

HEAD, TAIL = b"data: ", b"\n\n"  # a server-sent event; JSON has no line end in it


class Browser:
    """One open page."""

    def __init__(self) -> None:
        self.frame: bytes | None = None
        self.behind = True  # at first: everything is to be told
        self.ready = asyncio.Event()
        self.ready.set()


class Hub:
    """All of them. `whole` makes the frame that needs no other before it."""

    def __init__(self, whole: Callable[[], bytes]) -> None:
        self.browsers: set[Browser] = set()
        self.sent = 0  # frames
        self.sent_bytes = 0
        self.fell_behind = 0  # how often a browser did
        self._whole = whole
        self._kept: bytes | None = None  # the whole frame, for all who need it before the next change
        self._closed = False

    def send(self, frame: bytes) -> None:
        """Give every browser the next frame."""
        self._kept = None
        for browser in self.browsers:
            if browser.frame is not None:
                browser.frame = None
                browser.behind = True
                self.fell_behind += 1
            elif not browser.behind:
                browser.frame = frame
            browser.ready.set()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for browser in self.browsers:
            browser.ready.set()

    async def stream(self, hello: bytes) -> AsyncIterator[bytes]:
        """What one browser is sent, until it goes or `close`."""
        browser = Browser()
        self.browsers.add(browser)
        try:
            yield b"retry: 500\nevent: hello\n" + HEAD + hello + TAIL
            while True:
                await browser.ready.wait()
                if self._closed:
                    return
                browser.ready.clear()
                frame, browser.frame = browser.frame, None
                if browser.behind:
                    browser.behind = False
                    frame = self._whole_frame()
                if frame is not None:
                    self.sent += 1
                    self.sent_bytes += len(frame)
                    yield HEAD + frame + TAIL
        finally:
            self.browsers.discard(browser)

    def _whole_frame(self) -> bytes:
        if self._kept is None:
            self._kept = self._whole()
        return self._kept

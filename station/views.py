"""Event streams: one hub and one encoder for each set of wards that a user sees, so that twenty screens of one ward
need one encoded frame.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from station.auth.scope import WardScope
from station.auth.sessions import WebSession
from station.clock import present_time
from station.frame import DeltaEncoder, collect_changes, hello_for
from station.hub import HEAD, TAIL, Hub, SentCounts, Subscriber
from station.ward import Ward

KEEPALIVE_S = 1.0  # seconds after which a frame is sent although nothing has changed


@dataclass(slots=True)
class _View:
    framer: DeltaEncoder
    hub: Hub
    sent_at: float = 0.0


class Views:
    """All event streams. `hello`: what a page needs before the first frame."""

    def __init__(self, ward: Ward, hello: dict[str, Any]) -> None:
        self.sent = SentCounts()
        self._ward = ward
        self._hello = hello
        self._views: dict[WardScope, _View] = {}
        self._closed = False

    def send_changes(self, at: float) -> None:
        """Send every browser what has changed; `at`: seconds of a monotonic clock."""
        now = present_time()
        self._ward.settle(now)
        ward_changes = collect_changes(self._ward, now)
        for viewable, view in list(self._views.items()):
            if not view.hub.browsers:
                del self._views[viewable]
                continue
            changes = view.framer.changes(ward_changes, now, due=at - view.sent_at >= KEEPALIVE_S)
            if changes is not None:
                view.sent_at = at
                view.hub.send(changes)

    async def stream(self, session: WebSession) -> AsyncIterator[bytes]:
        """Yield the events for one page, until it disconnects, its session ends, or `close`.

        When the wards that the user may see change, the stream starts again.
        """
        while session.over is None and not self._closed:
            browser = Subscriber()
            session.browsers.add(browser)
            user = session.user
            hello = hello_for(self._hello, user.name, user.viewable, user.actionable)
            try:
                async with aclosing(self._view(user.viewable).hub.stream(hello, browser)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                session.browsers.discard(browser)
        if session.over is not None:
            yield b"event: logged_out\n" + HEAD + msgspec.json.encode(session.over) + TAIL

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for view in self._views.values():
            for browser in view.hub.browsers:
                browser.leave()

    @property
    def browsers(self) -> int:
        """Return the number of open pages."""
        return sum(len(view.hub.browsers) for view in self._views.values())

    def _view(self, viewable: WardScope) -> _View:
        view = self._views.get(viewable)
        if view is None:
            framer = DeltaEncoder(self._ward, viewable)
            view = self._views[viewable] = _View(framer, Hub(lambda: framer.whole(present_time()), self.sent))
        return view

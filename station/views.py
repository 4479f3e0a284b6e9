"""What everybody is told: one hub and one framer for each set of wards that somebody sees. Twenty screens of one ward
cost one frame, as they did before there were logins.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from station.frame import Framer, hello_to, news
from station.hub import HEAD, TAIL, Browser, Hub, Sent
from station.people import Login
from station.sight import Sight
from station.ward import Ward

LIFE_S = 1.0  # seconds after which a page is told that nothing has changed


@dataclass(slots=True)
class _View:
    framer: Framer
    hub: Hub
    told_at: float = 0.0


class Views:
    """All of them. `hello`: what a page needs to know before the first frame."""

    def __init__(self, ward: Ward, hello: dict[str, Any]) -> None:
        self.sent = Sent()
        self._ward = ward
        self._hello = hello
        self._views: dict[Sight, _View] = {}
        self._closed = False

    def tell(self, at: float) -> None:
        """Tell everybody what has changed; `at`: seconds of a clock that only goes forward."""
        now = datetime.now(UTC)
        told = news(self._ward, now)
        for sees, view in list(self._views.items()):
            if not view.hub.browsers:
                del self._views[sees]
                continue
            changes = view.framer.changes(told, now, due=at - view.told_at >= LIFE_S)
            if changes is not None:
                view.told_at = at
                view.hub.send(changes)

    async def stream(self, login: Login) -> AsyncIterator[bytes]:
        """What one page is sent, until it goes, its login ends, or `close`.

        Where the person comes to see other wards, it is told from the beginning.
        """
        while login.over is None and not self._closed:
            browser = Browser()
            login.browsers.add(browser)
            person = login.person
            hello = hello_to(self._hello, person.name, person.sees, person.acts)
            try:
                async with aclosing(self._view(person.sees).hub.stream(hello, browser)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                login.browsers.discard(browser)
        if login.over is not None:
            yield b"event: logged_out\n" + HEAD + msgspec.json.encode(login.over) + TAIL

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for view in self._views.values():
            for browser in view.hub.browsers:
                browser.leave()

    @property
    def browsers(self) -> int:
        """How many pages are open."""
        return sum(len(view.hub.browsers) for view in self._views.values())

    def _view(self, sees: Sight) -> _View:
        view = self._views.get(sees)
        if view is None:
            framer = Framer(self._ward, sees)
            view = self._views[sees] = _View(framer, Hub(lambda: framer.whole(datetime.now(UTC)), self.sent))
        return view

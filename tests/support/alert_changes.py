"""Publish changes of alerts as an alert worker does."""

from typing import Protocol

import msgspec

from tests.support.factories import make_alert
from vitals.alert import Alert, Change, State, encode_alert


class _Client(Protocol):
    def send(self, topic: str, payload: bytes, retain: bool = False) -> None: ...


class AlertChanges:
    """Alerts of `beds` beds, without a change yet; `published` has all changes in their order."""

    def __init__(self, client: _Client, beds: int) -> None:
        self._client = client
        self.alerts = [
            msgspec.structs.replace(make_alert(ward="icu-1", device=f"bed-{number}"), revision=0)
            for number in range(beds)
        ]
        self.published: list[Alert] = []

    def change_all(self, change: Change = Change.ESCALATED, state: State = State.ACTIVE) -> None:
        for at, alert in enumerate(self.alerts):
            changed = msgspec.structs.replace(alert, revision=alert.revision + 1, change=change, state=state)
            self.alerts[at] = changed
            self._client.send(f"alerts/{changed.ward}/{changed.device_id}/{changed.rule}", encode_alert(changed), True)
            self.published.append(changed)

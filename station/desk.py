"""What the pages ask and the scripts do not: the live stream, acknowledging, a bed's own limits.

A person's word goes to the broker as any client's would, and comes back as a message that every page sees.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, field_validator

from station import frame
from station.asks import Asks, Publish
from station.hub import Hub
from station.ward import Ward
from vitals.command import PAUSE_S, Action, Command
from vitals.errors import TryAgain
from vitals.limits import Limits, Refused, apply
from vitals.look import SPOKEN
from vitals.reading import MAX_TEXT
from vitals.rules import Rule
from vitals.signs import BY_KEY


def _named(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError(f"expected a name of 1 to {MAX_TEXT} printable characters")
    return name.strip()


class Person(BaseModel):
    """Who asks. Nobody checks it yet."""

    by: str = Field(min_length=1, max_length=MAX_TEXT)

    @field_validator("by")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return _named(name)


class Act(Person):
    """What a person does to an alert."""

    ward: str
    device: str
    rule: str
    action: Action
    seconds: float = PAUSE_S


class NewLimits(Person):
    """A bed's own limits; without any, those of the rules hold again."""

    device: str
    patient_id: str | None = None
    limits: dict[str, list[float | None]] = {}
    spo2_scale: int | None = None


def desk(ward: Ward, hub: Hub, asks: Asks, publish: Publish, hello: bytes) -> APIRouter:
    """The routes below /desk."""
    router = APIRouter(prefix="/desk", include_in_schema=False)

    @router.get("/live")
    async def live() -> StreamingResponse:
        """Server-sent events: who we are, the whole ward, then its changes."""
        # X-Accel-Buffering: a proxy before us must not collect what is live.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(hub.stream(hello), media_type="text/event-stream", headers=headers)

    @router.get("/recent")
    async def recent(
        seconds: Annotated[float, Query(gt=0, le=300)] = 120, device: Annotated[str | None, Query()] = None
    ) -> Response:
        """The minutes behind one bed, or behind all."""
        devices = [known for known in ward.beds if device in (None, known)]
        return Response(frame.recent(ward.beds, devices, seconds), media_type="application/json")

    @router.post("/alerts")
    async def act(asked: Act) -> dict[str, str]:
        """Acknowledge, pause the audio, resume it: the alert's new state, or why not."""
        alert = next(
            (
                alert
                for alert in ward.alerts(datetime.now(UTC))
                if (alert.ward, alert.device_id, alert.rule) == (asked.ward, asked.device, asked.rule)
            ),
            None,
        )
        if alert is None:
            raise HTTPException(409, "this alert is over")
        try:
            now = await asks.ask(
                alert, Command(by=asked.by, action=asked.action, seconds=asked.seconds, time=datetime.now(UTC))
            )
        except Refused as refused:
            raise HTTPException(409, str(refused)) from None
        except TryAgain as away:
            raise HTTPException(503, str(away)) from None
        return {"state": str(now.state)}

    @router.get("/limits")
    async def show_limits(device: str) -> Response:
        """What can be set for a bed: the rules with their limits, and its own over them."""
        if ward.rules is None:
            nothing = {"problem": "the alert worker has not told its rules; is it away?"}
            return Response(msgspec.json.encode(nothing), media_type="application/json")
        own = ward.limits.get(device)
        told = {
            "rules": [_rule(rule) for rule in ward.rules.rules if rule.above is not None],
            "own": own,
            "spo2_scale": ward.rules.spo2_scale,
        }
        return Response(msgspec.json.encode(told), media_type="application/json")

    @router.put("/limits")
    async def set_limits(asked: NewLimits) -> dict[str, bool]:
        """Set a bed's own limits, or take them away; refused as a whole, with every reason."""
        bed = ward.beds.get(asked.device)
        if bed is None:
            raise HTTPException(404, "there is no such bed any more")
        if ward.rules is None:
            raise HTTPException(503, "the alert worker has not told its rules; is it away?")
        payload = b""
        if asked.limits or asked.spo2_scale is not None:
            try:
                limits = _limits(asked)
                apply(ward.rules, limits)
                payload = msgspec.json.encode(limits)
            except Refused as refused:
                raise HTTPException(409, str(refused)) from None
        try:
            await publish(ward.topics.limits(bed.seen.bed.ward, asked.device), payload, True)
        except TryAgain as away:
            raise HTTPException(503, str(away)) from None
        return {"set": bool(payload)}

    return router


def _limits(asked: NewLimits) -> Limits:
    scales: dict[int | None, Literal[1, 2] | None] = {None: None, 1: 1, 2: 2}
    if asked.spo2_scale not in scales:
        raise Refused(f"spo2_scale is {asked.spo2_scale}; there are 1 and 2")
    return Limits(
        by=asked.by,
        limits=dict(asked.limits),
        spo2_scale=scales[asked.spo2_scale],
        patient_id=asked.patient_id,
        time=datetime.now(UTC),
    )


def _rule(rule: Rule) -> dict[str, Any]:
    sign = BY_KEY.get(rule.sign or "")
    return {
        "name": rule.name,
        "text": rule.text,
        "sign": rule.sign,
        "unit": "" if sign is None else SPOKEN.get(sign.unit, sign.unit),
        "above": rule.above,
        "levels": [{"priority": str(level.priority), "limit": level.limit} for level in rule.levels],
    }

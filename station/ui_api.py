"""The API of the pages: the live stream, alert commands, limits and patient of a bed.

A user's command is published to the broker, and its effect arrives as a message that every page receives. An alert
command is published on the user's own connection, so the broker vouches for the user; limits on that of the station,
and assignments on both (`station.admissions`).
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from station import frame
from station.admissions import Admissions
from station.auth.middleware import CurrentSession, CurrentUser
from station.auth.user_connection import UserConnection
from station.bed import BedState
from station.clock import present_time
from station.diagnosis import Observation
from station.limit_problem_text import limit_problem_text
from station.patient_names import PatientName
from station.pending_commands import PendingCommands, Publish
from station.tab_icon import tab_icon
from station.views import Views
from station.ward import Ward
from vitals.alert_format import DISPLAY_UNITS
from vitals.assignment import Profile, Scale, rules_for_bed
from vitals.command import PAUSE_S, Action, Command
from vitals.limits import Limits, LimitsRejected, RequestRejected
from vitals.rules import Rule
from vitals.signs import BY_KEY


class Act(BaseModel):
    """A user's command about an alert."""

    ward: str
    device: str
    rule: str
    action: Action
    seconds: float = PAUSE_S


class NewLimits(BaseModel):
    """The limits of one bed; without any, those of the rules apply."""

    device: str
    patient_id: str | None = None
    limits: dict[str, list[float | None]] = {}
    spo2_scale: Literal[1, 2] | None = None


class Admit(BaseModel):
    """A patient for a bed.

    present   the patient that the form shows as assigned
    known     name and date of birth; None leaves what is stored
    """

    device: str
    present: str | None = None
    patient_id: str
    profile: Profile
    spo2_scale: Scale = None
    known: PatientName | None = None


class Discharge(BaseModel):
    """A bed without a patient from now on. `present`: the patient that the form shows as assigned."""

    device: str
    present: str | None = None


class Transfer(BaseModel):
    """Another bed for the patient of a bed."""

    device: str
    present: str
    to: str


READ_ONLY_MESSAGE = "you have read-only access to this ward; an administrator can change that"
NO_RULES_MESSAGE = (
    "the limits cannot be shown or set now, because the alert service is down; watch the patients directly"
)


def ui_api(
    ward: Ward, views: Views, commands: PendingCommands, admissions: Admissions, publish_limits: Publish
) -> APIRouter:
    """Return the routes below /ui."""
    router = APIRouter(prefix="/ui", include_in_schema=False)

    def actionable_bed(user: UserConnection, device: str) -> BedState:
        """Return a bed that the user may change; raises status 404 or 403."""
        bed = ward.beds.get(device)
        if bed is None or not user.viewable.includes(bed.snapshot.bed.ward):
            raise HTTPException(404, "this bed no longer exists")
        if not user.actionable.includes(bed.snapshot.bed.ward):
            raise HTTPException(403, READ_ONLY_MESSAGE)
        return bed

    @router.get("/live")
    async def live(session: CurrentSession) -> StreamingResponse:
        """Stream server-sent events: the user, a snapshot of the ward, then its changes."""
        # X-Accel-Buffering: a reverse proxy must not buffer live data.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(views.stream(session), media_type="text/event-stream", headers=headers)

    @router.get("/icon.svg")
    async def icon(
        _user: CurrentUser, count: Annotated[int, Query(ge=0)], priority: Literal["high", "medium", "low"]
    ) -> Response:
        """Return the icon of a browser tab, with the number of open alerts."""
        return Response(tab_icon(count, priority), media_type="image/svg+xml")

    @router.get("/recent")
    async def recent(
        user: CurrentUser,
        seconds: Annotated[float, Query(gt=0, le=300)] = 120,
        device: Annotated[str | None, Query()] = None,
    ) -> Response:
        """Return the last minutes of one bed, or of all."""
        devices = [
            known
            for known, bed in ward.beds.items()
            if device in (None, known) and user.viewable.includes(bed.snapshot.bed.ward)
        ]
        return Response(frame.recent(ward.beds, devices, seconds), media_type="application/json")

    @router.get("/diagnosis")
    async def diagnosis(
        user: CurrentUser, device: str, seconds: Annotated[float, Query(ge=1, le=300)] = 30
    ) -> StreamingResponse:
        """Stream, as plain text, what one device publishes during the request and why its readings do not arrive."""
        observation = Observation(ward, device, user.viewable)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(observation.stream(seconds), media_type="text/plain", headers=headers)

    @router.post("/alerts")
    async def act(user: CurrentUser, request: Act) -> dict[str, str]:
        """Acknowledge an alert, pause or resume its audio; returns its new state, or the reason for a rejection."""
        alert = next(
            (
                alert
                for alert in ward.alerts(present_time())
                if (alert.ward, alert.device_id, alert.rule) == (request.ward, request.device, request.rule)
                and user.viewable.includes(alert.ward)
            ),
            None,
        )
        if alert is None:
            raise HTTPException(409, "this alert has ended")
        if not user.actionable.includes(alert.ward):
            raise HTTPException(403, READ_ONLY_MESSAGE)
        command = Command(by=user.name, action=request.action, seconds=request.seconds, time=datetime.now(UTC))
        now = await commands.ask(alert, command, user.publish)
        return {"state": str(now.state)}

    @router.get("/limits")
    async def show_limits(user: CurrentUser, device: str) -> Response:
        """Return the rules with the limits that can be set for a bed, and the limits of the bed."""
        bed = ward.beds.get(device)
        if ward.rules is None:
            nothing = {"problem": NO_RULES_MESSAGE}
            return Response(msgspec.json.encode(nothing), media_type="application/json")
        seen = bed is not None and user.viewable.includes(bed.snapshot.bed.ward)
        rules = rules_for_bed(ward.rules, bed.assignment, None, bed.snapshot.patient) if bed and seen else ward.rules
        body = {
            "rules": [_rule(rule) for rule in rules.rules if rule.above is not None],
            "own": bed.limits if bed and seen else None,
            "spo2_scale": rules.spo2_scale,
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    @router.put("/limits")
    async def set_limits(user: CurrentUser, request: NewLimits) -> dict[str, bool]:
        """Set or remove the limits of a bed; rejected as a whole, with every reason."""
        bed = actionable_bed(user, request.device)
        if ward.rules is None:
            raise HTTPException(503, NO_RULES_MESSAGE)
        payload = b""
        if request.limits or request.spo2_scale is not None:
            try:
                limits = _limits(request, user.name)
                rules_for_bed(ward.rules, bed.assignment, limits, limits.patient_id)
                payload = msgspec.json.encode(limits)
            except LimitsRejected as error:
                raise RequestRejected(limit_problem_text(error)) from None
        await publish_limits(ward.topics.limits(bed.snapshot.bed.ward, request.device), payload)
        return {"set": bool(payload)}

    @router.get("/assignment")
    async def show_assignment(user: CurrentUser, device: str) -> Response:
        """Return the last assignment or discharge of a bed; null without one."""
        bed = ward.beds.get(device)
        seen = bed is not None and user.viewable.includes(bed.snapshot.bed.ward)
        return Response(
            msgspec.json.encode(ward.assignments.get(device) if seen else None), media_type="application/json"
        )

    @router.put("/assignment")
    async def admit(user: CurrentUser, request: Admit) -> None:
        """Admit a patient to a bed, or change the age group or scale of the admitted one."""
        bed = actionable_bed(user, request.device)
        await admissions.admit(
            user, bed, request.present, request.patient_id, request.profile, request.spo2_scale, request.known
        )

    @router.post("/discharge")
    async def discharge(user: CurrentUser, request: Discharge) -> None:
        """Discharge the patient of a bed."""
        bed = actionable_bed(user, request.device)
        await admissions.discharge(user, bed, request.present)

    @router.post("/transfer")
    async def transfer(user: CurrentUser, request: Transfer) -> None:
        """Move the patient of a bed to another one."""
        bed, to = actionable_bed(user, request.device), actionable_bed(user, request.to)
        await admissions.transfer(user, bed, request.present, to)

    return router


def _limits(request: NewLimits, by: str) -> Limits:
    return Limits(
        by=by,
        limits=dict(request.limits),
        spo2_scale=request.spo2_scale,
        patient_id=request.patient_id,
        time=datetime.now(UTC),
    )


def _rule(rule: Rule) -> dict[str, Any]:
    sign = BY_KEY.get(rule.sign or "")
    return {
        "name": rule.name,
        "text": rule.text,
        "sign": rule.sign,
        "unit": "" if sign is None else DISPLAY_UNITS.get(sign.unit, sign.unit),
        "above": rule.above,
        "levels": [{"priority": str(level.priority), "limit": level.limit} for level in rule.levels],
    }

"""The response models of the JSON API, described in /openapi.json. `station.api_responses` makes them."""

from datetime import date, datetime

from pydantic import BaseModel, Field


class Value(BaseModel):
    """A value of one sign and the time of its measurement; a cuff measures every few minutes, so it may be old."""

    value: float
    unit: str = Field(description="UCUM")
    time: datetime


class Score(BaseModel):
    """NEWS2. With inputs missing the total is a lower bound."""

    total: int
    worst_part: int
    parts: dict[str, int] = Field(description="points by input")
    missing: list[str]


class Alert(BaseModel):
    """An open alert in its current state."""

    alert_id: str
    ward: str
    device: str
    rule: str
    priority: str = Field(description="high, medium or low (IEC 60601-1-8)")
    kind: str = Field(description="physiological or technical")
    state: str = Field(description="active, acknowledged, audio_paused or latched")
    text: str
    sign: str | None
    value: float | None
    limit: float | None
    first_value: float | None = Field(description="the value that raised it; null for rules without values")
    first_value_at: datetime | None
    worst_value: float | None = Field(description="the value furthest beyond the limit since then")
    worst_value_at: datetime | None
    patient_id: str | None
    raised_at: datetime
    changed_at: datetime
    acknowledged_by: str | None
    audio_paused_until: datetime | None
    attention: str = Field(description="escalated where a high alert was not answered for too long, else normal")
    stale: bool = Field(description="not repeated by the broker since the station's last connection")


class BedResource(BaseModel):
    """One bed, as of now."""

    device: str
    ward: str
    patient_id: str | None
    condition: str = Field(description="NORMAL, CRITICAL, SENSOR OFF, SILENT, OFFLINE, WAITING or VACANT")
    time: datetime | None = Field(description="of the last reading")
    age_s: float | None
    values: dict[str, Value] = Field(description="by sign: the last value that is not too old")
    sensor_off: list[str]
    on_oxygen: bool | None
    consciousness: str | None
    news2: Score | None
    alerts: list[Alert]


class Outage(BaseModel):
    """A server or service that is down, since when, and what that means for the user."""

    name: str
    since: datetime
    text: str


class Ward(BaseModel):
    """The beds, by ward and bed. Data that depends on a server in `outages` is not current."""

    at: datetime
    beds: list[BedResource]
    outages: list[Outage]


class Alerts(BaseModel):
    """The open alerts, the most urgent first."""

    at: datetime
    alerts: list[Alert]
    outages: list[Outage]


class Points(BaseModel):
    """One sign over a range: average, minimum and maximum of each point, or null for a point without values."""

    unit: str = Field(description="UCUM")
    avg: list[float | None]
    min: list[float | None]
    max: list[float | None]
    n: list[int]


class Series(BaseModel):
    """One bed over a range, as `vitals_series` gives it. `time` has the beginning of each point."""

    device: str
    step_s: float | None = Field(description="seconds that a point covers; null without points")
    time: list[datetime]
    readings: list[int]
    signs: dict[str, Points]


class PastAlert(BaseModel):
    """An alert from the database, open or ended."""

    alert_id: str
    rule: str
    kind: str
    sign: str | None
    ward: str
    device: str
    patient_id: str | None
    state: str
    priority: str = Field(description="the highest that it had")
    text: str
    limit: float | None
    first_value: float | None = Field(description="the value that raised it; null for rules without values")
    first_value_at: datetime | None
    worst_value: float | None = Field(description="the value furthest beyond the limit since then")
    worst_value_at: datetime | None
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    cleared_at: datetime | None
    reason: str | None
    duration_s: float


class PastAlerts(BaseModel):
    """Alerts of one bed that were open in a range, the newest first."""

    device: str
    total: int = Field(description="of the range; `alerts` has at most `limit` of them")
    alerts: list[PastAlert]


class AlertHistory(BaseModel):
    """A page of stored alerts, the newest first."""

    alerts: list[PastAlert]
    next: str | None = Field(description="pass it as `after` for the next page; null on the last one")


class SignValues(BaseModel):
    """One sign at each time, or null where it was not measured."""

    unit: str = Field(description="UCUM")
    values: list[float | None]


class AlertSnapshot(BaseModel):
    """The readings around an alert that are kept with it."""

    alert_id: str
    device: str
    ward: str
    raised_at: datetime
    taken_at: datetime | None = Field(description="when they were copied; null: not yet")
    time: list[datetime] = Field(description="of each reading, from two minutes before the alert to two minutes after")
    signs: dict[str, SignValues] = Field(description="only those that were measured")


class Spread(BaseModel):
    """One sign in an hour; null where it was not measured."""

    avg: float | None
    min: float | None
    max: float | None


class ReportHour(BaseModel):
    """One hour of one patient in one ward."""

    time: datetime = Field(description="the beginning of the hour")
    ward: str
    patient_id: str | None = Field(
        description="as the readings name the patient, or else the one assigned for the whole hour"
    )
    readings: int
    minutes: int = Field(description="with at least one reading")
    news2: int | None = Field(description="the highest, a lower bound; null for an hour of several patients")
    signs: dict[str, Spread]


class Assigned(BaseModel):
    """A patient assigned to the bed; null: no patient."""

    patient_id: str | None
    from_time: datetime
    to_time: datetime | None


class Report(BaseModel):
    """One day of one bed, in the time zone of its ward. Hours without readings have no entry."""

    device: str
    day: date
    time_zone: str
    start: datetime = Field(description="the first hour that begins in the day")
    end: datetime
    hours: list[ReportHour]
    assignments: list[Assigned]


class Problem(BaseModel):
    """The reason for an error, in one sentence."""

    detail: str

"""Names and dates of birth of patients: checked, stored and read as vitalflow_names. No name is logged or kept here.

A site has them only by its setting. They are in no topic, no frame of the live stream and no audit record: a page asks
for those that its user may see.
"""

import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from pydantic import BaseModel

from station.queries import Queries
from vitals.limits import RequestRejected, require_printable

OLDEST = timedelta(days=130 * 366)

# One row for a patient in any spelling of the number; answered in the spelling of the question.
FIND_SQL = """
SELECT asked.id AS patient_id, name, birth_date
FROM unnest(%(patients)s::text[]) AS asked (id)
JOIN names.patient_name AS known ON lower(known.patient_id) = lower(asked.id)
"""
# An admission adds what is missing and contradicts nothing: then no row is returned. A correction replaces.
STORE_SQL = """
INSERT INTO names.patient_name AS known (patient_id, name, birth_date, changed_by)
VALUES (%(patient_id)s, %(name)s, %(birth_date)s, %(by)s)
ON CONFLICT (lower(patient_id)) DO UPDATE
SET patient_id = excluded.patient_id, changed_at = now(), changed_by = excluded.changed_by,
    name = CASE WHEN %(correct)s THEN excluded.name ELSE coalesce(excluded.name, known.name) END,
    birth_date = CASE WHEN %(correct)s THEN excluded.birth_date ELSE coalesce(excluded.birth_date, known.birth_date) END
WHERE %(correct)s OR (coalesce(lower(excluded.name) = lower(known.name), true)
                      AND coalesce(excluded.birth_date = known.birth_date, true))
RETURNING patient_id
"""
FORGET_SQL = "DELETE FROM names.patient_name WHERE lower(patient_id) = lower(%(patient_id)s) RETURNING patient_id"


class PatientName(BaseModel):
    """What a user enters about a patient; an empty name: none."""

    name: str = ""
    birth_date: date | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether it says nothing."""
        return not self.name and self.birth_date is None


class NamedPatient(PatientName):
    """The name and date of birth of one patient."""

    patient_id: str


class PatientNames(Queries):
    """The names that a site stores. `url`: the database as vitalflow_names; None: the site stores none."""

    def __init__(self, url: str | None) -> None:
        super().__init__(
            url,
            without_url="this station stores no names",
            failed="names can be neither stored nor read now; the patient can be admitted without a name",
        )

    def check(self, given: PatientName | None, today: date | None = None) -> PatientName | None:
        """Return what is to be stored, in normal form; None: nothing.

        Raises RequestRejected with a sentence for the user, which does not repeat the name.
        """
        if given is None or (given.is_empty and not self.enabled):
            return None
        if not self.enabled:
            raise RequestRejected("this site stores no names and dates of birth; leave both out")
        name = unicodedata.normalize("NFC", given.name).strip()
        if name:
            try:
                require_printable("name", name)
            except RequestRejected:
                raise RequestRejected(
                    "the name must have at most 200 characters, without line ends and invisible characters"
                ) from None
        today = today or datetime.now(UTC).date()
        # A day ahead: the user's time zone may be ahead of UTC.
        if given.birth_date and not today - OLDEST <= given.birth_date <= today + timedelta(days=1):
            raise RequestRejected("the date of birth must be in the last 130 years")
        return PatientName(name=name, birth_date=given.birth_date)

    async def store(self, patient_id: str, known: PatientName | None, by: str, *, correct: bool) -> None:
        """Store what `check` has returned.

        correct   replace what is stored; otherwise what is given must not contradict it

        Raises RequestRejected for a contradiction, and TransientError if the database does not answer.
        """
        if known is None or (known.is_empty and not correct):
            return
        if known.is_empty:
            await self.ask(FORGET_SQL, patient_id=patient_id)
            return
        stored = await self.ask(
            STORE_SQL,
            patient_id=patient_id,
            name=known.name or None,
            birth_date=known.birth_date,
            by=by,
            correct=correct,
        )
        if not stored:
            raise RequestRejected(
                f"another name or date of birth is stored for patient {patient_id}; check the number, or admit without "
                "name and date of birth and correct them then"
            )

    async def find(self, patients: Iterable[str]) -> list[NamedPatient]:
        """Return what is known of these patients; raises TransientError."""
        wanted = sorted(set(patients))
        if not self.enabled or not wanted:
            return []
        rows = await self.ask(FIND_SQL, patients=wanted)
        return [NamedPatient(**{**row, "name": row["name"] or ""}) for row in rows]

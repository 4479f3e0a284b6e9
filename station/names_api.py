"""The names of patients, for pages of users who may act in the ward: never for others, and never in the live stream."""

from typing import Annotated

from fastapi import APIRouter, Query

from station.auth.middleware import CurrentUser
from station.history import History
from station.patient_names import NamedPatient, PatientNames
from station.ward import Ward


def names_api(ward: Ward, names: PatientNames, history: History) -> APIRouter:
    """Return the route below /ui."""
    router = APIRouter(prefix="/ui", include_in_schema=False)

    @router.get("/names")
    async def show_names(user: CurrentUser, device: Annotated[str | None, Query()] = None) -> list[NamedPatient]:
        """Return the names of the patients who are assigned to beds now, or of all who were assigned to one device."""
        if not names.enabled:
            return []
        if device is not None:
            return await names.find(await history.patients(device, user.actionable.as_list()))
        return await names.find(
            bed.assignment.patient_id
            for bed in ward.beds.values()
            if bed.assignment is not None
            and bed.assignment.patient_id is not None
            and user.actionable.includes(bed.snapshot.bed.ward)
        )

    return router

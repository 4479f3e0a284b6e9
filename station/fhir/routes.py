"""The routes of the FHIR interface: they check the request, ask the store, and write Bundles.

Starlette's requests and not FastAPI's parameters: FHIR has its own rules for parameters and for errors.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response

from station.auth.middleware import user_of
from station.fhir.capability import capability_statement
from station.fhir.pages import CursorKey, Place, Where
from station.fhir.search import (
    CURSOR,
    DEVICE_PARAMETERS,
    OBSERVATION_PARAMETERS,
    PATIENT_PARAMETERS,
    Search,
    SearchRejected,
    is_identified,
    read_search,
)
from station.fhir.store import FhirStore, KnownDevice
from station.fhir.times import includes
from vitals.fhir import DEVICE_SYSTEM, MEDIA_TYPE, PATIENT_SYSTEM, Measured, Resource, device, observation, patient
from vitals.fhir_ids import device_id, patient_id

BASE = "/fhir/R4"
JSON_TYPES = ("json", "application/json", "application/fhir+json", "text/json")
ACCEPTED = {"application/json", "application/fhir+json", "text/json", "application/*", "text/*", "*/*", ""}
LINK_INCLUDES = ["Observation:device", "Observation:patient", "Observation:subject"]
PARAMETERS = {
    "Observation": OBSERVATION_PARAMETERS,
    "Patient": PATIENT_PARAMETERS,
    "Device": DEVICE_PARAMETERS,
}

Pairs = list[tuple[str, str]]
Wards = list[str] | None


def fhir_api(store: FhirStore, started_at: datetime) -> APIRouter:
    """Return the routes below /fhir/R4."""
    router = APIRouter(prefix=BASE, include_in_schema=False)
    resources = _Resources(store)
    statement = capability_statement(started_at, PARAMETERS, LINK_INCLUDES)

    async def metadata(_: Request, __: Pairs) -> Resource:
        return statement

    async def search(request: Request, pairs: Pairs) -> Resource:
        return await resources.search(request, _type_of(request), pairs)

    async def read(request: Request, _: Pairs) -> Resource:
        return await resources.read(request, _type_of(request), request.path_params["identity"])

    async def last_n(request: Request, pairs: Pairs) -> Resource:
        return await resources.last_n(request, pairs)

    def add(path: str, answer: Callable[[Request, Pairs], Awaitable[Resource]], method: str = "GET") -> None:
        async def route(request: Request) -> Response:
            pairs = await _pairs(request)
            _require_json(request, pairs)
            try:
                found = await answer(request, pairs)
            except SearchRejected as error:
                raise HTTPException(400, str(error)) from None
            return Response(msgspec.json.encode(found), media_type=f"{MEDIA_TYPE}; charset=utf-8")

        router.add_api_route(path, route, methods=[method], response_model=None)

    add("/metadata", metadata)
    add("/Observation/$lastn", last_n)
    for kind in PARAMETERS:
        add(f"/{kind}", search)
        add(f"/{kind}/_search", search, "POST")
        add(f"/{kind}/{{identity}}", read)

    async def unknown(request: Request) -> Response:
        raise HTTPException(404, f"there is no {request.method} {request.url.path[:200]}; metadata lists what is")

    router.add_api_route(
        "/{rest:path}", unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"], response_model=None
    )
    return router


class _Resources:
    """Answers with resources and Bundles, each for the wards of the user who asks."""

    def __init__(self, store: FhirStore) -> None:
        self._store = store
        self._key = CursorKey(secrets.token_bytes(32))  # links hold until the station restarts

    async def search(self, request: Request, kind: str, pairs: Pairs) -> Resource:
        """Return the Bundle of a search."""
        search = read_search(pairs, PARAMETERS[kind], is_strict=_is_strict(request))
        wards = user_of(request).viewable.as_list()
        if kind == "Observation":
            return await self._observations(request, search, wards)
        found = await (self._patients if kind == "Patient" else self._devices)(search, wards)
        return self._listed(request, search, found)

    async def read(self, request: Request, kind: str, identity: str) -> Resource:
        """Return one resource; raises status 404 where there is none that this user may see."""
        search = Search(ids=frozenset([identity]), count=1)
        wards = user_of(request).viewable.as_list()
        if kind == "Observation":
            page = await self._store.page(search, wards)
            found = [observation(*one) for one in page.found]
        else:
            found = await (self._patients if kind == "Patient" else self._devices)(search, wards)
        if not found:
            raise HTTPException(404, f"there is no {kind}/{identity[:100]} in the wards that you can see")
        return found[0]

    async def last_n(self, request: Request, pairs: Pairs) -> Resource:
        """Return the last Observations of each kind of the patients."""
        search = read_search(pairs, OBSERVATION_PARAMETERS, is_strict=_is_strict(request), is_lastn=True)
        names = {name.partition(":")[0] for name, _ in search.used}
        if not names & {"patient", "subject"} or not names & {"category", "code", "combo-code"}:
            raise HTTPException(400, "$lastn needs patient or subject, and category or code")
        wards = user_of(request).viewable.as_list()
        found = await self._store.last(search, wards)
        return await self._bundle(request, search, found, wards, total=len(found), path="Observation/$lastn")

    async def _observations(self, request: Request, search: Search, wards: Wards) -> Resource:
        place = self._read_cursor(search, Place)
        total = await self._store.total(search, wards) if search.needs_total or search.count == 0 else None
        if search.count == 0:
            return await self._bundle(request, search, [], wards, total=total)
        page = await self._store.page(search, wards, place)
        after = None if page.next is None else self._key.write(page.next, search.query())
        return await self._bundle(request, search, page.found, wards, total=total, after=after)

    async def _bundle(
        self,
        request: Request,
        search: Search,
        found: Sequence[tuple[Measured, Any]],
        wards: Wards,
        *,
        total: int | None,
        after: str | None = None,
        path: str = "Observation",
    ) -> Resource:
        included: list[Resource] = []
        if "Device" in search.includes and found:
            names = {reading.device for reading, _ in found}
            included += [_device(one) for one in await self._store.devices(wards) if one.name in names]
        if "Patient" in search.includes:
            # Each subject is a patient whom the user may see, because the user may see the Observation.
            included += [patient(number) for number in sorted({one.patient for one, _ in found if one.patient})]
        base = _base(request)
        entries = [_entry(base, observation(*one), "match") for one in found]
        entries += [_entry(base, resource, "include") for resource in included]
        return _searchset(base, path, search, entries, total, after)

    async def _patients(self, search: Search, wards: Wards) -> list[Resource]:
        known = await self._store.patients(search.ids, wards)
        return [
            patient(number, since)
            for number, since in known.items()
            if is_identified(search.identifiers, PATIENT_SYSTEM, number) and includes(search.updated, since)
        ]

    async def _devices(self, search: Search, wards: Wards) -> list[Resource]:
        return [
            _device(one)
            for one in await self._store.devices(wards)
            if (search.ids is None or device_id(one.name) in search.ids)
            and (search.patients is None or (one.patient is not None and patient_id(one.patient) in search.patients))
            and is_identified(search.identifiers, DEVICE_SYSTEM, one.name)
        ]

    def _read_cursor(self, search: Search, type: type[Where]) -> Where | None:
        """Return where the page begins, None for the first one; raises SearchRejected."""
        try:
            return None if search.cursor is None else self._key.read(search.cursor, search.query(), type)
        except ValueError as error:
            raise SearchRejected(f"{CURSOR}: {error}") from None

    def _listed(self, request: Request, search: Search, found: Iterable[Resource]) -> Resource:
        """Return a page of resources in the order of their ids."""
        resources = sorted(found, key=lambda resource: str(resource["id"]))
        total = len(resources) if search.needs_total or search.count == 0 else None
        if (last := self._read_cursor(search, str)) is not None:
            resources = [resource for resource in resources if resource["id"] > last]
        page = resources[: search.count]
        is_more = 0 < search.count < len(resources)
        after = self._key.write(page[-1]["id"], search.query()) if is_more else None
        base, kind = _base(request), _type_of(request)
        return _searchset(base, kind, search, [_entry(base, resource, "match") for resource in page], total, after)


def _searchset(
    base: str, path: str, search: Search, entries: list[Resource], total: int | None, after: str | None
) -> Resource:
    query = search.query()
    links = [{"relation": "self", "url": f"{base}/{path}" + (f"?{query}" if query else "")}]
    if after is not None:
        following = "&".join(part for part in (query, urlencode({CURSOR: after})) if part)
        links.append({"relation": "next", "url": f"{base}/{path}?{following}"})
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        **({} if total is None else {"total": total}),
        "link": links,
        **({"entry": entries} if entries else {}),
    }


def _entry(base: str, resource: Resource, mode: str) -> Resource:
    url = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}


def _device(known: KnownDevice) -> Resource:
    return device(
        known.name,
        known.ward,
        is_removed=known.is_removed,
        model=known.model,
        patient=known.patient,
        changed_at=known.changed_at,
    )


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{BASE}"


def _type_of(request: Request) -> str:
    return str(request.url.path).removeprefix(BASE).split("/")[1]


def _is_strict(request: Request) -> bool:
    preferred = request.headers.get("prefer", "").replace(" ", "").lower()
    return "handling=strict" in preferred.replace(";", ",").split(",")


async def _pairs(request: Request) -> Pairs:
    """Return the parameters in the URL and, of a POST, in the body."""
    text = [request.url.query]
    if request.method == "POST":
        try:
            text.append((await request.body()).decode())
        except UnicodeDecodeError:
            raise HTTPException(400, "the body is not UTF-8") from None
    try:
        return [
            pair
            for part in text
            for pair in parse_qsl(part, keep_blank_values=True, errors="strict", max_num_fields=200)
        ]
    except ValueError:
        raise HTTPException(400, "expected at most 200 parameters in UTF-8") from None


def _require_json(request: Request, pairs: Pairs) -> None:
    """Raise status 406 for a request that asks for another format."""
    asked = [value for name, value in pairs if name == "_format"]
    if asked:
        is_json = all(value.partition(";")[0].strip().lower().replace(" ", "+") in JSON_TYPES for value in asked)
    else:
        ranges = [part.strip() for part in request.headers.get("accept", "").split(",")]
        is_json = any(
            part.partition(";")[0].strip().lower() in ACCEPTED and "q=0" not in part.replace(" ", "").split(";")[1:]
            for part in ranges
        )
    if not is_json:
        raise HTTPException(406, f"only JSON: {MEDIA_TYPE}")

"""The table [[webhook]] of a site: a sender of documents by HTTP, its proof, and the device that it is."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from edges.config.types import Level, Table, Text

Kind = Literal[
    "health-auto-export",
    "health-connect",
    "open-mhealth",
    "garmin",
    "terra",
    "withings",
    "oura",
    "fitbit",
    "mapping",
]
Proof = Literal["bearer", "header", "path", "standard-webhooks", "fitbit", "oura", "terra"]

NOTICES: tuple[Kind, ...] = ("withings", "oura", "fitbit")
"""Kinds whose documents say that there are values, and hold none."""
OF_SEVERAL: tuple[Kind, ...] = ("garmin", "terra")
"""Kinds whose documents are of several accounts: each is a place of its own."""
_PROOFS: dict[str, Proof] = {"garmin": "path", "withings": "path", "oura": "oura", "fitbit": "fitbit", "terra": "terra"}
_VERIFIED: tuple[Kind, ...] = ("oura", "fitbit")
MAX_SECRETS = 5


class Webhook(Table):
    """A sender of documents by HTTP, to /webhooks/NAME.

    kind          the shape of its documents; mapping: the one that the [[mapping]] with the name in `mapping` describes
    secret_file   one or several, while a secret is being changed; each proves the sender
    proof         how: bearer (Authorization), header (the one named in `header`), path (/webhooks/NAME/SECRET), or a
                  signature. Default: that of the kind, bearer for the others
    verify_file   the code by which Fitbit or Oura verify the address
    ward, device  whose values these are; else they are those of the [[place]] with the account as `equipment`, or with
                  this name as `source`
    clock         receipt: its clock is wrong; the newest values of a document have the time of receipt
    interval_s    seconds between two documents; without it the alert worker learns it
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    kind: Kind
    mapping: Text | None = None
    secret_file: Path | tuple[Path, ...]
    proof: Proof | None = None
    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    verify_file: Path | None = None
    ward: Level | None = None
    device: Level | None = None
    clock: Literal["message", "receipt"] = "message"
    interval_s: float | None = Field(default=None, gt=0, le=86_400)

    @cached_property
    def secret_files(self) -> tuple[Path, ...]:
        """The files with its secrets."""
        return (self.secret_file,) if isinstance(self.secret_file, Path) else self.secret_file

    @cached_property
    def required_proof(self) -> Proof:
        """How it proves that it is the sender."""
        return self.proof or ("header" if self.header else _PROOFS.get(self.kind, "bearer"))

    @model_validator(mode="after")
    def _check(self) -> "Webhook":
        if not 0 < len(self.secret_files) <= MAX_SECRETS:
            raise ValueError(f"secret_file names {len(self.secret_files)} files; from 1 to {MAX_SECRETS}")
        if (self.required_proof == "header") != (self.header is not None):
            raise ValueError('header and proof = "header" go together')
        if (self.kind == "mapping") != (self.mapping is not None):
            raise ValueError('mapping and kind = "mapping" go together')
        if (self.ward is None) != (self.device is None):
            raise ValueError("ward and device go together")
        if self.device is not None and self.kind in OF_SEVERAL:
            raise ValueError(
                f"device: {self.kind} sends the values of several accounts to one address; name each in a [[place]] "
                f'with source = "{self.name}" and equipment = the account'
            )
        if self.device is not None and self.kind in NOTICES:
            raise ValueError(f"device: {self.kind} sends notices, which have no values")
        if self.verify_file is not None and self.kind not in _VERIFIED:
            raise ValueError(f"verify_file: only {' and '.join(_VERIFIED)} verify the address")
        return self

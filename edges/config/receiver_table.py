"""The table [[receiver]] of a site: a receiver of alerts over HTTP."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from edges.config.types import Table, Text
from vitals.urls import is_loopback

Template = Literal["json", "ntfy", "slack", "teams", "alertmanager"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
MAX_URL = 2048


class Receiver(Table):
    """A receiver of alerts by HTTP.

    url, url_file   where to; in a file if the address is a secret, as that of ntfy and Slack is
    template        the shape of its messages
    secret_file     the secret of Standard Webhooks, or several while one is being changed
    token_file      the token of the header Authorization: Bearer
    ca              certificate of the CA of its certificate. Default: the CAs that the system trusts
    patient_id      whether the patient's number is sent. Default: to json, and to no other template
    """

    name: Name
    template: Template
    url: Text | None = None
    url_file: Path | None = None
    secret_file: Path | Annotated[tuple[Path, ...], Field(min_length=1, max_length=5)] | None = None
    token_file: Path | None = None
    ca: Path | None = None
    patient_id: bool | None = None

    @cached_property
    def secret_files(self) -> tuple[Path, ...]:
        """The files with its secrets."""
        if self.secret_file is None:
            return ()
        return (self.secret_file,) if isinstance(self.secret_file, Path) else self.secret_file

    @property
    def states_patient(self) -> bool:
        """Whether the patient's number is sent."""
        return self.template == "json" if self.patient_id is None else self.patient_id

    @model_validator(mode="after")
    def _check(self) -> "Receiver":
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs url or url_file, and not both")
        if self.template == "json" and self.secret_file is None:
            raise ValueError("secret_file is missing: messages of the template json are signed")
        if self.url is not None:
            check_url(self, self.url)
        return self


def check_url(receiver: Receiver, url: str) -> None:
    """Raise ValueError with one clause that does not state the URL."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the URL cannot be read") from None
    if parts.scheme not in ("http", "https") or not host or len(url) > MAX_URL or not url.isascii():
        raise ValueError(f"the URL is not http:// or https:// with a host, in ASCII, of at most {MAX_URL} characters")
    if parts.username is not None or parts.fragment:
        raise ValueError("the URL has a user or a fragment; a token belongs into token_file")
    if parts.scheme == "http" and not is_loopback(host) and receiver.states_patient:
        raise ValueError("http:// would send the patient's number unencrypted; use https:// or patient_id = false")
    if receiver.template == "ntfy" and (not parts.path.strip("/") or "/" in parts.path.strip("/") or parts.query):
        raise ValueError("the URL of ntfy is that of a topic, such as https://ntfy.example/TOPIC")

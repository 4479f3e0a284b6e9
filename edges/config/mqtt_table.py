"""The table [[mqtt]] of a site: a broker of others whose messages hold values."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from edges.config.types import Table, Text
from mqtt.endpoint import BrokerEndpoint


class MqttSource(Table):
    """A broker, or a user of it, and how to read its messages.

    url           mqtts://HOST:PORT, or mqtt:// without TLS
    user          with password_file, which holds the password alone
    ca            certificate of the CA that signed the broker's. Default: the CAs that the system trusts
    client_id     names the session, in which the broker keeps messages. Default: vitalflow-NAME
    mappings      names of [[mapping]] tables or of built-in ones, in the order in which they are tried
    clock         receipt: the senders' clocks are wrong, and values have the time of receipt
    interval_s    seconds between two messages of a bed; without it the alert worker learns it
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    url: Text
    user: Text | None = None
    password_file: Path | None = None
    ca: Path | None = None
    client_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    mappings: tuple[Text, ...] = Field(min_length=1, max_length=50)
    clock: Literal["message", "receipt"] = "message"
    interval_s: float | None = Field(default=None, gt=0, le=86_400)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if BrokerEndpoint.parse(url).username is not None:
            raise ValueError("holds a user; write it to user, and the password to the file that password_file names")
        return url

    @model_validator(mode="after")
    def _check(self) -> "MqttSource":
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        if self.ca is not None and not BrokerEndpoint.parse(self.url).tls:
            raise ValueError("ca: only mqtts:// has a certificate")
        return self

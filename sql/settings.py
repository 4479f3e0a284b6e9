"""Settings of every program that connects to the database."""

from typing import Annotated, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field, model_validator

from sql.connection import insecure_reason
from vitals.settings import PREFIX, Settings
from vitals.urls import split_url, without_password


def _database_url(text: str) -> str:
    parts = split_url(text)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise ValueError("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    try:
        conninfo_to_dict(text)
    except ProgrammingError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return text


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]


class DatabaseSettings(Settings):
    """Return whether an unencrypted or unverified connection is allowed; the URLs are fields of the derived classes."""

    database_allow_insecure: bool = Field(False, description="Allow unencrypted or unverified database connections.")

    @model_validator(mode="after")
    def _databases_are_safe_to_reach(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if not isinstance(value, str) or not value.startswith("postgres"):
                continue
            if not self.database_allow_insecure and (danger := insecure_reason(value)):
                raise ValueError(
                    f"{PREFIX}{name.upper()} would connect to {without_password(value)} {danger}; add "
                    "?sslmode=verify-full&sslrootcert=/path/to/ca.crt to it, or set "
                    f"{PREFIX}DATABASE_ALLOW_INSECURE=true if that is intended"
                )
        return self

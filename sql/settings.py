"""Settings of every program that connects to the database."""

from typing import Annotated, Self

from psycopg import ProgrammingError
from pydantic import AfterValidator, Field, model_validator

from sql.address import addresses, urls_of_one_host, with_writable_session, without_password
from sql.connection import insecure_reason
from vitals.errors import PermanentError
from vitals.settings import PREFIX, Settings
from vitals.urls import split_url


def _database_url(text: str) -> str:
    schemes = {split_url(url).scheme for url in urls_of_one_host(text)}
    try:
        named = schemes <= {"postgresql", "postgres"} and addresses(text)
    except ProgrammingError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not named:
        raise ValueError(
            "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or HOST:PORT,HOST:PORT for several servers"
        )
    return with_writable_session(text)


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]


def first_url(**urls: str | None) -> str:
    """Return the first URL that is set, of fields by name; raises PermanentError that names them if none is."""
    if url := next(filter(None, urls.values()), None):
        return url
    names = " or ".join(PREFIX + name.upper() for name in urls)
    raise PermanentError(f"set {names} to the address of the database")


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

"""The types of the keys in a site's configuration, for the tables of all kinds of senders."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from vitals.reading import MAX_TEXT


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("is not printable or has space around it")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT), AfterValidator(_printable)]
MaybeEmpty = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(_printable)]


def _level(text: str) -> str:
    if any(character in text for character in "/+#"):
        raise ValueError("holds /, + or #, which no level of a topic may hold")
    return text


Level = Annotated[Text, AfterValidator(_level)]


class Table(BaseModel):
    """A table of the site's file: no key that is unknown, and no change after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

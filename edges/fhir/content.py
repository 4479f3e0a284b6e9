"""Read JSON of FHIR, which may be hostile: one document, or one per line. Pure.

Elements of a wrong type count as absent, except where a module states that their presence alone decides.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

MAX_BODY = 1024 * 1024  # bytes of a document
MAX_DEPTH = 200  # nested arrays and objects
MAX_ITEMS = 10_000  # of an array: a megabyte of empty components took 5 s
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Element = dict[str, Any]


class InvalidDocument(ValueError):
    """A body that cannot be read; the text is one sentence.

    status   of HTTP
    code     of the issue in an OperationOutcome
    """

    def __init__(self, text: str, status: int = 400, code: str = "structure") -> None:
        super().__init__(text)
        self.status = status
        self.code = code


def read_json(body: bytes) -> Element:
    """Return the resource in a body; raises InvalidDocument."""
    text = _decode(body)
    if text.lstrip()[:1] == "<":
        raise InvalidDocument("the body is XML; only JSON (application/fhir+json) is read", 415, "not-supported")
    try:
        content = json.loads(
            text,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidDocument(f"the body is not JSON: {error}") from None
    if _depth(content) > MAX_DEPTH:
        raise _too_deep()
    if "\\ud" in text.lower():  # an escaped surrogate; half of a pair is no character, and no place can be named so
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InvalidDocument("a text has half of a surrogate pair, which is no character") from None
    if not isinstance(content, dict):
        raise InvalidDocument("the body is JSON, but no object: a resource is one")
    return content


def read_lines(body: bytes, limit: int) -> list[Element | InvalidDocument]:
    """Return the resource of each line of NDJSON, or why it cannot be read; empty if the body is no NDJSON.

    Raises InvalidDocument if it has more lines than `limit`.
    """
    lines = [line for line in body.removeprefix(_BYTE_ORDER_MARK).split(b"\n") if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines):
        return []  # a document that is written in several lines has one that begins otherwise
    if len(lines) > limit:
        raise InvalidDocument(f"the body has {len(lines)} lines; at most {limit} are read", 422, "too-long")
    found = [_read_line(line) for line in lines]
    return found if any(isinstance(item, dict) for item in found) else []


def _read_line(line: bytes) -> Element | InvalidDocument:
    try:
        return read_json(line)
    except InvalidDocument as error:
        return error


def text_of(element: object, key: str) -> str:
    """Return the text of a key, without space around it; empty without one."""
    value = element.get(key) if isinstance(element, dict) else None
    return value.strip() if isinstance(value, str) else ""


def object_of(element: object, key: str) -> Element:
    """Return the object of a key; empty without one."""
    value = element.get(key) if isinstance(element, dict) else None
    return value if isinstance(value, dict) else {}


def objects_of(element: object, key: str) -> Iterator[Element]:
    """Iterate over the objects in the array of a key."""
    value = element.get(key) if isinstance(element, dict) else None
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def is_given(element: Element, key: str) -> bool:
    """Return whether a key has content of any type."""
    return element.get(key) not in (None, [], {}, "")


def _decode(body: bytes) -> str:
    try:
        return body.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError:
        raise InvalidDocument("the body is not UTF-8") from None


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 19 else float(text)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> Element:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the key {twice[:40]!a} twice")
    return content


def _depth(content: object) -> int:
    """Return how deep the content is nested; raises InvalidDocument for an array that is too long."""
    level, depth = [content], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        longest = max((len(item) for item in level if isinstance(item, list)), default=0)
        if longest > MAX_ITEMS:
            raise InvalidDocument(f"an array has {longest} items; at most {MAX_ITEMS} are read", 422, "too-long")
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _too_deep() -> InvalidDocument:
    return InvalidDocument(f"the body is nested more than {MAX_DEPTH} levels deep", code="too-costly")

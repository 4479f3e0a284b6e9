"""Read JSON of a sender, which may be hostile: bounds, and the elements of what was read. Pure.

Elements of a wrong type count as absent, except where a module states that their presence alone decides.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

MAX_BODY = 1024 * 1024  # bytes of a document
MAX_DEPTH = 200  # nested arrays and objects
MAX_ITEMS = 10_000  # of an array: a megabyte of empty components took 5 s
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

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


def decode(body: bytes) -> str:
    """Return the text of a body; raises InvalidDocument."""
    try:
        return body.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError:
        raise InvalidDocument("the body is not UTF-8") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def parse(text: str, max_items: int = MAX_ITEMS, parse_constant: Callable[[str], Any] = _refuse_constant) -> object:
    """Return the content of a text; raises InvalidDocument.

    max_items        of an array, or of an object
    parse_constant   returns what stands for NaN, Infinity and -Infinity
    """
    try:
        content: object = json.loads(
            text,
            parse_int=_integer,
            parse_constant=parse_constant,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidDocument(f"the body is not JSON: {error}") from None
    if _depth(content, max_items) > MAX_DEPTH:
        raise _too_deep()
    if "\\ud" in text.lower():  # an escaped surrogate; half of a pair is no character, and no place can be named so
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InvalidDocument("a text has half of a surrogate pair, which is no character") from None
    return content


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


def text_of_value(value: object) -> str:
    """Return a value as text: a number in its shortest form, and anything else as what no number is."""
    match value:
        case str():
            return value.strip()
        case bool() | None:
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case list():
            return "an array"
        case _:
            return "an object"


def is_given(element: Element, key: str) -> bool:
    """Return whether a key has content of any type."""
    return element.get(key) not in (None, [], {}, "")


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 19 else float(text)


def _unique_keys(pairs: list[tuple[str, Any]]) -> Element:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the key {twice[:40]!a} twice")
    return content


def _depth(content: object, max_items: int) -> int:
    """Return how deep the content is nested; raises InvalidDocument for an array that is too long."""
    level, depth = [content], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        longest = max((len(item) for item in level if isinstance(item, list)), default=0)
        if longest > max_items:
            raise InvalidDocument(f"an array has {longest} items; at most {max_items} are read", 422, "too-long")
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _too_deep() -> InvalidDocument:
    return InvalidDocument(f"the body is nested more than {MAX_DEPTH} levels deep", code="too-costly")

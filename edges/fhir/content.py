"""Read the JSON of FHIR: one resource, or one per line. Pure."""

from edges.observations.json_document import BYTE_ORDER_MARK, Element, InvalidDocument, decode, parse


def read_json(body: bytes) -> Element:
    """Return the resource in a body; raises InvalidDocument."""
    text = decode(body)
    if text.lstrip()[:1] == "<":
        raise InvalidDocument("the body is XML; only JSON (application/fhir+json) is read", 415, "not-supported")
    content = parse(text)
    if not isinstance(content, dict):
        raise InvalidDocument("the body is JSON, but no object: a resource is one")
    return content


def read_lines(body: bytes, limit: int) -> list[Element | InvalidDocument]:
    """Return the resource of each line of NDJSON, or why it cannot be read; empty if the body is no NDJSON.

    Raises InvalidDocument if it has more lines than `limit`.
    """
    lines = [line for line in body.removeprefix(BYTE_ORDER_MARK).split(b"\n") if line.strip()]
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

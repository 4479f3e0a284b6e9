"""Read notices of Withings, Oura and Fitbit: that there are values, which this project does not fetch. Pure.

https://developer.withings.com (a form), https://cloud.ouraring.com/docs/webhooks, https://dev.fitbit.com "Using
Subscriptions".
"""

from urllib.parse import parse_qs

from edges.observations.json_document import InvalidDocument, text_of
from edges.webhook.found import Values

MAX_FIELDS = 50


def read_form(text: str) -> Values:
    """Return the notice of a form; raises InvalidDocument."""
    try:
        fields = parse_qs(text.strip(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise InvalidDocument(f"the form has more than {MAX_FIELDS} fields", 422, "too-long") from None
    if "userid" not in fields:
        raise InvalidDocument("the form has no userid: it is not of Withings", 422)
    return _notices([f"appli {''.join(fields.get('appli', ['']))[:10]}".strip()])


def read_event(content: object) -> Values:
    """Return the notice of an event of Oura; raises InvalidDocument."""
    if not text_of(content, "event_type"):
        raise InvalidDocument("the document has no event_type: it is not of Oura", 422)
    return _notices([text_of(content, "data_type") or "event"])


def read_events(content: object) -> Values:
    """Return the notices of an array of Fitbit; raises InvalidDocument."""
    if not isinstance(content, list) or not all(text_of(item, "collectionType") for item in content):
        raise InvalidDocument("the document is no array of notices with a collectionType: it is not of Fitbit", 422)
    return _notices([text_of(item, "collectionType") for item in content])


def _notices(codes: list[str]) -> Values:
    values = Values()
    for code in codes:
        values.add_notice(code)
    return values

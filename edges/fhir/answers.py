"""Write what the sender of FHIR gets: an OperationOutcome, or a Bundle with a response for each entry. Pure."""

import json
from typing import Any

from edges.fhir.incoming import Answer, Document, Outcome, Report
from edges.listener.http_body import HttpAnswer
from edges.observations.json_document import InvalidDocument
from vitals.fhir import operation_outcome

_STATUS = {Outcome.STORED: "201 Created", Outcome.NOTHING: "200 OK", Outcome.REFUSED: "422 Unprocessable Entity"}


def answer_report(document: Document, report: Report) -> HttpAnswer:
    """Return the answer to a document that was read."""
    if not document.bundle:
        [answer] = report.answers
        return _http(int(_STATUS[answer.outcome][:3]), _outcome_of(answer))
    if document.bundle == "transaction" and report.outcome is Outcome.REFUSED:
        refused = [
            f"{entry.path}: {answer.problem}"
            for entry, answer in zip(document.entries, report.answers, strict=True)
            if answer.outcome is Outcome.REFUSED and answer.code != "processing"
        ]
        return _http(422, operation_outcome("processing", f"nothing is stored; {'; '.join(refused)}"))
    kind = "transaction-response" if document.bundle == "transaction" else "batch-response"
    entries = [
        {"response": {"status": _STATUS[answer.outcome], "outcome": _outcome_of(answer)}} for answer in report.answers
    ]
    return _http(200, {"resourceType": "Bundle", "type": kind, **({"entry": entries} if entries else {})})


def answer_invalid(error: InvalidDocument) -> HttpAnswer:
    """Return the answer to a body that cannot be read."""
    return answer_problem(error.status, error.code, str(error))


def answer_problem(status: int, code: str, text: str) -> HttpAnswer:
    """Return an answer with an error."""
    return _http(status, operation_outcome(code, text))


def _outcome_of(answer: Answer) -> dict[str, Any]:
    if answer.outcome is Outcome.REFUSED:
        return operation_outcome(answer.code, answer.problem)
    text = answer.problem or "all of it is stored"
    issue = {"severity": "information", "code": "informational", "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def _http(status: int, content: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(content, ensure_ascii=True).encode())

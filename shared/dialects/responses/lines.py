"""Lines of batches with the url /v1/responses.

Source: platform.openai.com/docs/guides/batch (`url` of a line: /v1/responses among others; the `response` of a line of
the output file has the `status_code`, the `request_id` and as `body` the response).
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.dialects.line_format import LineFormat, Renamed
from shared.dialects.responses import making, requests, turns
from shared.dialects.responses.objects import Response
from shared.errors import InvalidRequest, RequestRefused
from shared.submissions.schemas import Submission


def read(body: dict[str, Any], ignore_unknown: bool) -> tuple[Submission, Renamed]:
    """The submission of a line's body."""
    for name in ("background", "previous_response_id"):
        if body.get(name):
            raise InvalidRequest(f"{name}: not supported in a line of a batch", param=name)
    for place, _ in turns.references(body.get("input")):
        raise InvalidRequest(f"{place}: an item_reference is not supported in a line of a batch", param=place)
    submission, places = requests.read_with_places(body, None, ignore_unknown=ignore_unknown)

    def renamed(error: RequestRefused) -> RequestRefused:
        return requests.renamed(error, places)

    return submission, renamed


def answer(row: Mapping[str, Any]) -> Response:
    """The response of a line's job."""
    return making.response({**row, "asked_model": row["model"], "model": row["served"]})


def refusal(error: Mapping[str, Any], job_id: str) -> dict[str, Any]:
    """The body of a refusal."""
    return {"error": error}


LINES: Final = LineFormat(dialect="responses", url="/v1/responses", read=read, answer=answer, refusal=refusal)

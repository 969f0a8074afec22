"""Lines of batches with the url /v1/messages, in batches of OpenAI's form and as the requests of message batches."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from shared.answers import thinking
from shared.dialects.line_format import LineFormat, Renamed
from shared.dialects.messages import answers, errors, requests
from shared.dialects.translated import as_sent
from shared.errors import InvalidRequest, RequestRefused
from shared.submissions import answer_options
from shared.submissions.schemas import Submission, read_submission


def read(body: dict[str, Any], ignore_unknown: bool) -> tuple[Submission, Renamed]:
    """The submission of a line's body."""
    if body.get("stream"):
        raise InvalidRequest("stream: not supported in a batch", param="stream")
    made = requests.to_native(body)

    def renamed(error: RequestRefused) -> RequestRefused:
        return as_sent(error, made.places)

    try:
        submission = read_submission("chat.completion", made.body, ignore_unknown=ignore_unknown, unsent=made.unsent)
    except RequestRefused as error:
        raise renamed(error) from None
    return submission, renamed


def answer(row: Mapping[str, Any]) -> answers.MessageObject:
    """The message of a line's job."""
    body = row["response"]
    if answer_options.wants_thinking(row["answer_options"]):
        body = thinking.dressed(body, keeps=True)
    return answers.message(orjson.loads(body))


LINES: Final = LineFormat(dialect="messages", url="/v1/messages", read=read, answer=answer, refusal=errors.body)

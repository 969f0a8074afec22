"""The requests of a message batch, as the lines of a batch; what is wrong with one is named as it was sent."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from producer.operations.batches import BatchSpec
from shared.dialects.messages.lines import LINES
from shared.errors import InvalidRequest
from shared.submissions.shapes import Shape
from shared.submissions.sizes import MOST_CUSTOM_ID, MOST_LINES

_EARLIER: Final = re.compile(r"on line ([0-9]+)")


class BatchedMessage(Shape):
    """A request of a message batch."""

    custom_id: str = Field(min_length=1, max_length=MOST_CUSTOM_ID)
    params: dict[str, Any] = Field(description="The body of `POST /v1/messages`, without `stream`.")


class MessageBatchRequest(Shape):
    """The requests of a message batch. They are accepted or refused together."""

    requests: list[BatchedMessage] = Field(min_length=1, max_length=MOST_LINES, fail_fast=True)

    def spec(self) -> BatchSpec:
        """The same as a native batch."""
        lines = [{"custom_id": one.custom_id, "url": LINES.url, "body": one.params} for one in self.requests]
        return BatchSpec(requests=lines, endpoint=LINES.url)


def refusal(faults: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """The 400 for what is wrong with lines, naming the first: `requests[7].params.max_tokens`."""
    param, message = as_sent(faults[0])
    if more := len(faults) - 1:
        message += f" (and {more} more)"
    return InvalidRequest(message, param=param)


def as_sent(fault: Mapping[str, Any]) -> tuple[str, str]:
    """The place and the message of what is wrong with a line.

    >>> as_sent({"line": 8, "param": "body.max_tokens", "message": "body.max_tokens: is wrong"})
    ('requests[7].params.max_tokens', 'requests[7].params.max_tokens: is wrong')
    """
    request = f"requests[{fault['line'] - 1}]" if fault["line"] else "requests"
    param = fault["param"] or ""
    where = request + f".{param}".replace(".body", ".params", 1) if param else request
    message = _EARLIER.sub(lambda found: f"in requests[{int(found[1]) - 1}]", fault["message"])
    if param.startswith("body") and param in message:
        return where, message.replace(param, where, 1)
    return where, f"{where}: {message}"

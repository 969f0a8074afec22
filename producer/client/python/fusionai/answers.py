"""Whether an answer is one of this API: a page of a proxy with the status 200 is none, and no short answer either."""

from typing import Any, get_origin

from openai import BaseModel

from fusionai.errors import UnexpectedAnswerError

_STREAM = "text/event-stream"
#: A request whose caller reads the answer itself.
_RAW = "X-Stainless-Raw-Response"


def check_stream(response: Any) -> None:
    """A stream has to be one."""
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != _STREAM:
        raise _unexpected(f"the answer is not a stream but {kind[:100]!r}", response)


def understood(made: Any, cast_to: Any, response: Any) -> Any:
    """What was made of an answer, if it is what was asked for: OpenAI's client gives anything else as it came."""
    origin = get_origin(cast_to) or cast_to
    if _RAW in response.request.headers:
        return made
    if isinstance(origin, type) and issubclass(origin, BaseModel) and not isinstance(made, BaseModel):
        kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
        what = f"{kind[:100]!r}" if not kind.endswith("json") else "other JSON"
        raise _unexpected(f"the server does not answer as this API does, but with {what}", response)
    return made


def unreadable(response: Any) -> UnexpectedAnswerError:
    """The error of JSON that is none."""
    return _unexpected("the server does not answer as this API does: the JSON is broken", response)


def _unexpected(message: str, response: Any) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(message, request=response.request, headers=response.headers)

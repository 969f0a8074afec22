"""The system message that stands before a chat's own: what its answer has to be, what it is about. Pure.

It is part of the stored request, so it is priced, held for and sent as the rest is. What names messages by number
(hints beside them, what a model lacks) moves by one; callers are told the numbers that they sent.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.submissions import extras

#: Where a stored request names the messages whose content is null and was said to be: some providers want to be told.
NULLS: Final = "nulls"
#: Between two things that it says.
BREAK: Final = "\n\n"
_TURN: Final = re.compile(r"\bmessages\[([0-9]{1,6})\]")


def put(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A request with a system message of this text before its messages."""
    made = {**request, "messages": [{"role": "system", "content": text}, *request["messages"]]}
    _move(made, +1)
    return made


def extended(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A request whose preface says this as well."""
    first, *rest = request["messages"]
    return {**request, "messages": [{**first, "content": first["content"] + BREAK + text}, *rest]}


def without(request: Mapping[str, Any]) -> dict[str, Any]:
    """A stored request as it was before it had one."""
    bare = {**request, "messages": request["messages"][1:]}
    _move(bare, -1)
    return bare


def as_sent(place: str) -> str:
    """A text with the numbers of messages as they were sent.

    >>> as_sent("messages[3].cache_control")
    'messages[2].cache_control'
    """
    return _moved(place, -1)


def _move(request: dict[str, Any], by: int) -> None:
    if beside := request.get(extras.KEY):
        request[extras.KEY] = {_moved(path, by): value for path, value in beside.items()}
    if nulls := request.get(NULLS):
        request[NULLS] = [number + by for number in nulls]


def _moved(text: str, by: int) -> str:
    number: Callable[[re.Match[str]], str] = lambda found: f"messages[{max(0, int(found[1]) + by)}]"  # noqa: E731
    return _TURN.sub(number, text)

"""In which of several formats an answer is wanted: by the parameter `format`, else by the Accept header."""

import re
from collections.abc import Mapping

from starlette.requests import Request

from producer.web.rows import JSON
from shared.errors import InvalidRequest

#: How much a media type is liked, after `q=` in an Accept header (RFC 9110, 12.4.2).
_QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")


def wanted(request: Request, given: str | None, others: Mapping[str, str]) -> str:
    """`json`, or one of the others, which are media types by their names; 400 for another `format`.

    Without a `format`, the other that the Accept header names and likes best, if it likes JSON no better.
    """
    if given is not None:
        if given != "json" and given not in others:
            names = ["json", *others]
            raise InvalidRequest(
                f"format must be {', '.join(names[:-1])} or {names[-1]}, not {given[:50]!r}", param="format"
            )
        return given
    liked = _liked(request)
    best = max(others, key=lambda name: liked.get(others[name], 0.0))
    quality = liked.get(others[best], 0.0)
    return best if quality > 0 and quality >= liked.get(JSON, 0.0) else "json"


def _liked(request: Request) -> dict[str, float]:
    liked = {}
    for part in ",".join(request.headers.getlist("accept")).split(","):
        type, _, parameters = part.partition(";")
        liked[type.strip().lower()] = _quality(parameters)
    return liked


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0

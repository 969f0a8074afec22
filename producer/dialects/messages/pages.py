"""Pages of lists in Anthropic's shape: `limit`, and an id that the page comes after or before.

Sources: platform.claude.com/docs/en/api/models/list; the official SDK's pagination, for which a page before an id is
the one that ends just before it, in the order of all pages.
"""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import Field
from starlette.requests import Request
from typing_extensions import TypedDict

from producer.objects.lists import I
from producer.web.request import valid
from producer.web.rows import query
from shared.errors import InvalidRequest
from shared.submissions.shapes import Shape

#: Objects of a page.
MOST: Final = 1000
#: What the beta methods of clients add to every address.
_BETA: Final = "beta"
_ID: Final = {"type": "string", "maxLength": 200}

T = TypeVar("T")


class PageAsked(Shape):
    """What a list call asks for."""

    limit: int = Field(default=20, ge=1, le=MOST)
    after_id: str | None = Field(default=None, max_length=200)
    before_id: str | None = Field(default=None, max_length=200)


class Listed(TypedDict, Generic[T]):
    """A page of a list. Where `has_more`, go on with `after_id=last_id`, or backwards with `before_id=first_id`."""

    data: list[T]
    has_more: bool
    first_id: str | None
    last_id: str | None


#: The document's parameters of a list.
PARAMETERS: Final = (
    query("limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": 20}, "Objects of the page."),
    query("after_id", _ID, "The page that follows this object."),
    query("before_id", _ID, "The page that ends before this object."),
)


def asked(request: Request, *others: str) -> PageAsked:
    """The page asked for; 400 for a parameter that is unknown, beside these others."""
    given: dict[str, Any] = {name: value for name, value in request.query_params.items() if name != _BETA}
    for name in others:
        given.pop(name, None)
    if "limit" in given:
        text = given["limit"]
        given["limit"] = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    page: PageAsked = valid(PageAsked, given)
    if page.after_id is not None and page.before_id is not None:
        raise InvalidRequest("only one of after_id and before_id is allowed", param="before_id")
    return page


def listed(found: Sequence[I], page: PageAsked) -> Listed[I]:
    """A page of what was found, in the order it is shown in, with one object more where there are more.

    >>> listed([{"id": "a"}, {"id": "b"}], PageAsked(limit=1, before_id="c"))["data"]
    [{'id': 'b'}]
    """
    data = list(found[-page.limit :] if page.before_id is not None else found[: page.limit])
    return {
        "data": data,
        "has_more": len(found) > page.limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def of_known(every: Sequence[I], page: PageAsked) -> Listed[I]:
    """A page of objects that are all at hand; 400 for an id that is none of theirs."""
    places = {one["id"]: at for at, one in enumerate(every)}
    begin, end = 0, len(every)
    for name in ("after_id", "before_id"):
        if (id := getattr(page, name)) is None:
            continue
        if id not in places:
            raise InvalidRequest(f"{name}: there is no {id!r} in this list", param=name)
        begin, end = (places[id] + 1, end) if name == "after_id" else (begin, places[id])
    if page.before_id is not None:
        return listed(every[max(begin, end - page.limit - 1) : end], page)
    return listed(every[begin : begin + page.limit + 1], page)

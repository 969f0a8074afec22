"""Pages of lists. Pure."""

from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

from typing_extensions import TypedDict


class Identified(TypedDict):
    """Anything that has an id."""

    id: str


T = TypeVar("T")
I = TypeVar("I", bound=Identified)  # noqa: E741


class List(TypedDict, Generic[T]):
    """A page of a list. If `has_more` is true, request the next page with `after=last_id`."""

    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


def page(found: Sequence[I], limit: int) -> List[I]:
    """A page of at most `limit` of the objects; more of them than that means there is more."""
    data = list(found[:limit])
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }

"""Pagination of lists, and the condition for the rows that a key may see."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field
from sqlalchemy import Table

from producer.objects import List
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.submissions.schemas import Shape
from shared.submissions.sizes import MOST_PAGE


class PageQuery(Shape):
    """What a list call asks for."""

    limit: int = Field(default=20, ge=1, le=MOST_PAGE)
    after: str | None = Field(default=None, max_length=100)
    order: Literal["asc", "desc"] = "desc"


#: Rows that a list looks through for a page, where it is narrowed by what no index has.
SEARCHED: Final = 2_000


def searched(page: List[Any], rows: Sequence[Any]) -> List[Any]:
    """The page of a search through `rows` (at most SEARCHED, with their ids); there may be more beyond them."""
    if page["has_more"] or len(rows) < SEARCHED:
        return page
    return {**page, "has_more": True, "last_id": rows[-1].id}


def owned_by(holder: KeyHolder, table: Table = m.jobs) -> tuple[Any, ...]:
    """Rows that a key may see: of its account, and of its mode."""
    return table.c.account_id == holder.account_id, table.c.test == holder.test


def paged(statement: Any, id: Any, page: PageQuery) -> Any:
    """One row more than asked for, so that it is known whether there are more."""
    if page.after is not None:
        statement = statement.where(id > page.after if page.order == "asc" else id < page.after)
    return statement.order_by(id.asc() if page.order == "asc" else id.desc()).limit(page.limit + 1)

"""Pagination of lists, and the condition for the rows that a key may see."""

from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Table

from shared.accounts import KeyHolder
from shared.db import models as m
from shared.submissions.schemas import Shape
from shared.submissions.sizes import MOST_PAGE


class PageQuery(Shape):
    """What a list call asks for."""

    limit: int = Field(default=20, ge=1, le=MOST_PAGE)
    after: str | None = Field(default=None, max_length=100)
    order: Literal["asc", "desc"] = "desc"


def owned_by(holder: KeyHolder, table: Table = m.jobs) -> tuple[Any, ...]:
    """Rows that a key may see: of its account, and of its mode."""
    return table.c.account_id == holder.account_id, table.c.test == holder.test


def paged(statement: Any, id: Any, page: PageQuery) -> Any:
    """One row more than asked for, so that it is known whether there are more."""
    if page.after is not None:
        statement = statement.where(id > page.after if page.order == "asc" else id < page.after)
    return statement.order_by(id.asc() if page.order == "asc" else id.desc()).limit(page.limit + 1)

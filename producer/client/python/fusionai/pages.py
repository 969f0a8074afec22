"""Pages of lists: iterate over one, and the pages after it are fetched as they are needed."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from openai._base_client import BaseAsyncPage, BasePage, BaseSyncPage, PageInfo

from fusionai.errors import UnexpectedAnswerError

T = TypeVar("T")


class _Paged(BasePage[T], Generic[T]):
    """`data`: the items of this page. `has_more`: there are pages after it."""

    data: list[T]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    def _get_page_items(self) -> list[T]:
        return self.data or []

    def has_next_page(self) -> bool:
        return self.next_page_info() is not None

    def next_page_info(self) -> PageInfo | None:
        """A page that looked through many items and found none has a `last_id` all the same."""
        last = self.last_id or (getattr(self.data[-1], "id", None) if self.data else None)
        if not self.has_more or not last:
            return None
        if last == self._asked_after():
            raise UnexpectedAnswerError(f"the list does not go on after {last}", request=None)
        return PageInfo(params={"after": last})

    def _asked_after(self) -> object:
        """After what this page was asked for."""
        asked = getattr(self, "_options", None)
        params = asked.params if asked is not None else None
        return params.get("after") if isinstance(params, Mapping) else None


class Page(_Paged[T], BaseSyncPage[T], Generic[T]):
    """A page; `for item in page` goes on over all pages."""


class AsyncPage(_Paged[T], BaseAsyncPage[T], Generic[T]):
    """A page; `async for item in page` goes on over all pages."""

"""Pages of lists: iterate over one, and the pages after it are fetched as they are needed."""

from typing import Generic, TypeVar

from openai._base_client import BaseAsyncPage, BasePage, BaseSyncPage, PageInfo

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
        return PageInfo(params={"after": last}) if self.has_more and last else None


class Page(_Paged[T], BaseSyncPage[T], Generic[T]):
    """A page; `for item in page` goes on over all pages."""


class AsyncPage(_Paged[T], BaseAsyncPage[T], Generic[T]):
    """A page; `async for item in page` goes on over all pages."""

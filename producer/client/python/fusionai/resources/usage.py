"""What was used: the totals of a period, its rows, sums by something, and usage over time."""

from typing import Literal

from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource

from fusionai.objects import UsageGroups, UsageReport, UsageRow, UsageSeries
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import options


class UsageReports(SyncAPIResource):
    """`client.usage`; days are `2026-11-21`, UTC, inclusive, and by default those of this month."""

    def retrieve(
        self,
        *,
        from_: str | None = None,
        to: str | None = None,
        model: str | None = None,
        batch_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> UsageReport:
        """The totals of a period, and a page of its rows."""
        query = {"from": from_, "to": to, "model": model, "batch_id": batch_id, "limit": limit, "after": after}
        return self._get("/usage", options=options(query=query), cast_to=UsageReport)

    def rows(
        self,
        *,
        from_: str | None = None,
        to: str | None = None,
        model: str | None = None,
        batch_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[UsageRow]:
        """The rows of a period, one for each job, the newest first."""
        query = {"from": from_, "to": to, "model": model, "batch_id": batch_id, "limit": limit, "after": after}
        return self._get_api_list("/usage", page=Page[UsageRow], model=UsageRow, options=options(query=query))

    def by(
        self,
        group_by: str,
        *,
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> UsageGroups:
        """The sums of a period by `model`, `key`, `day` or `metadata.NAME`, or several (`key,day`): a page of them."""
        query = {"group_by": group_by, "from": from_, "to": to, "limit": limit, "after": after}
        return self._get("/usage", options=options(query=query), cast_to=UsageGroups)

    def series(
        self,
        interval: Literal["minute", "hour", "day"] = "hour",
        *,
        since: int | None = None,
        until: int | None = None,
        model: str | None = None,
        key_id: str | None = None,
    ) -> UsageSeries:
        """Usage over time; `since` and `until` in Unix seconds."""
        query = {"interval": interval, "since": since, "until": until, "model": model, "key_id": key_id}
        return self._get("/usage/series", options=options(query=query), cast_to=UsageSeries)


class AsyncUsageReports(AsyncAPIResource):
    """`client.usage`; days are `2026-11-21`, UTC, inclusive, and by default those of this month."""

    async def retrieve(
        self,
        *,
        from_: str | None = None,
        to: str | None = None,
        model: str | None = None,
        batch_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> UsageReport:
        """The totals of a period, and a page of its rows."""
        query = {"from": from_, "to": to, "model": model, "batch_id": batch_id, "limit": limit, "after": after}
        return await self._get("/usage", options=options(query=query), cast_to=UsageReport)

    def rows(
        self,
        *,
        from_: str | None = None,
        to: str | None = None,
        model: str | None = None,
        batch_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> AsyncPaginator[UsageRow, AsyncPage[UsageRow]]:
        """The rows of a period, one for each job, the newest first."""
        query = {"from": from_, "to": to, "model": model, "batch_id": batch_id, "limit": limit, "after": after}
        return self._get_api_list("/usage", page=AsyncPage[UsageRow], model=UsageRow, options=options(query=query))

    async def by(
        self,
        group_by: str,
        *,
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> UsageGroups:
        """The sums of a period by `model`, `key`, `day` or `metadata.NAME`, or several (`key,day`): a page of them."""
        query = {"group_by": group_by, "from": from_, "to": to, "limit": limit, "after": after}
        return await self._get("/usage", options=options(query=query), cast_to=UsageGroups)

    async def series(
        self,
        interval: Literal["minute", "hour", "day"] = "hour",
        *,
        since: int | None = None,
        until: int | None = None,
        model: str | None = None,
        key_id: str | None = None,
    ) -> UsageSeries:
        """Usage over time; `since` and `until` in Unix seconds."""
        query = {"interval": interval, "since": since, "until": until, "model": model, "key_id": key_id}
        return await self._get("/usage/series", options=options(query=query), cast_to=UsageSeries)

"""The balance, its history, and the levels that send an event."""

from collections.abc import Iterable, Mapping
from typing import Any

from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource

from fusionai.objects import AutoTopUp, Balance, CreditHistory, Thresholds, Transfer
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import options


class Credits(SyncAPIResource):
    """`client.credits`."""

    def retrieve(self) -> Balance:
        """What is available and what is held."""
        return self._get("/credits", cast_to=Balance)

    def history(self, *, from_: str | None = None, to: str | None = None) -> CreditHistory:
        """What remained at the end of each day, UTC, and what came and went on it; default: the last 30 days."""
        return self._get("/credits/history", options=options(query={"from": from_, "to": to}), cast_to=CreditHistory)

    def transfers(self, *, limit: int | None = None, after: str | None = None) -> Page[Transfer]:
        """The movements of credits."""
        query = {"limit": limit, "after": after}
        return self._get_api_list(
            "/credits/transfers", page=Page[Transfer], model=Transfer, options=options(query=query)
        )

    def set_thresholds(self, thresholds: Iterable[Mapping[str, Any]]) -> Thresholds:
        """Replace the levels at which an event is sent: `{"kind": "remaining"|"spent", "credits": n}`."""
        return self._put("/credits/thresholds", body={"thresholds": [*thresholds]}, cast_to=Thresholds)

    def auto_top_up(self) -> AutoTopUp:
        """The automatic top-up, and whether it is at work."""
        return self._get("/credits/auto_top_up", cast_to=AutoTopUp)

    def set_auto_top_up(self, *, threshold: int, credits: int, monthly_limit: int) -> AutoTopUp:
        """Have so many credits bought when fewer than `threshold` are available, up to a limit a month."""
        body = {"enabled": True, "threshold": threshold, "credits": credits, "monthly_limit": monthly_limit}
        return self._put("/credits/auto_top_up", body=body, cast_to=AutoTopUp)

    def stop_auto_top_up(self) -> AutoTopUp:
        """Have no credits bought automatically any more."""
        return self._put("/credits/auto_top_up", body={"enabled": False}, cast_to=AutoTopUp)


class AsyncCredits(AsyncAPIResource):
    """`client.credits` of the asynchronous client."""

    async def retrieve(self) -> Balance:
        """What is available and what is held."""
        return await self._get("/credits", cast_to=Balance)

    async def history(self, *, from_: str | None = None, to: str | None = None) -> CreditHistory:
        """What remained at the end of each day, UTC, and what came and went on it; default: the last 30 days."""
        return await self._get(
            "/credits/history", options=options(query={"from": from_, "to": to}), cast_to=CreditHistory
        )

    def transfers(
        self, *, limit: int | None = None, after: str | None = None
    ) -> AsyncPaginator[Transfer, AsyncPage[Transfer]]:
        """The movements of credits."""
        query = {"limit": limit, "after": after}
        return self._get_api_list(
            "/credits/transfers", page=AsyncPage[Transfer], model=Transfer, options=options(query=query)
        )

    async def set_thresholds(self, thresholds: Iterable[Mapping[str, Any]]) -> Thresholds:
        """Replace the levels at which an event is sent: `{"kind": "remaining"|"spent", "credits": n}`."""
        return await self._put("/credits/thresholds", body={"thresholds": [*thresholds]}, cast_to=Thresholds)

    async def auto_top_up(self) -> AutoTopUp:
        """The automatic top-up, and whether it is at work."""
        return await self._get("/credits/auto_top_up", cast_to=AutoTopUp)

    async def set_auto_top_up(self, *, threshold: int, credits: int, monthly_limit: int) -> AutoTopUp:
        """Have so many credits bought when fewer than `threshold` are available, up to a limit a month."""
        body = {"enabled": True, "threshold": threshold, "credits": credits, "monthly_limit": monthly_limit}
        return await self._put("/credits/auto_top_up", body=body, cast_to=AutoTopUp)

    async def stop_auto_top_up(self) -> AutoTopUp:
        """Have no credits bought automatically any more."""
        return await self._put("/credits/auto_top_up", body={"enabled": False}, cast_to=AutoTopUp)

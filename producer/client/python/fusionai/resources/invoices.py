"""Purchases of credits, and statements of what was used."""

from collections.abc import Mapping
from typing import Literal

from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource

from fusionai.objects import Invoice, InvoiceLinks
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import known, options


class Invoices(SyncAPIResource):
    """`client.invoices`."""

    def create(
        self,
        *,
        credits: int,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        save_payment_method: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Invoice:
        """Buy credits: they are there once it is paid, at its `checkout_url` where the server takes payments."""
        given = {
            "credits": credits,
            "description": description,
            "metadata": metadata,
            "save_payment_method": save_payment_method,
        }
        return self._post(
            "/invoices", body=known(given), options=options(idempotency_key=idempotency_key), cast_to=Invoice
        )

    def retrieve(self, id: str) -> Invoice:
        """An invoice."""
        return self._get(f"/invoices/{id}", cast_to=Invoice)

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        kind: Literal["statement", "purchase"] | None = None,
        status: str | None = None,
        period: str | None = None,
        batch_id: str | None = None,
    ) -> Page[Invoice]:
        """The invoices, the newest first."""
        query = {
            "limit": limit,
            "after": after,
            "kind": kind,
            "status": status,
            "period": period,
            "batch_id": batch_id,
        }
        return self._get_api_list("/invoices", page=Page[Invoice], model=Invoice, options=options(query=query))

    def void(self, id: str) -> Invoice:
        """Void an open purchase, so that it is never paid."""
        return self._post(f"/invoices/{id}/void", body={}, cast_to=Invoice)

    def links(self, id: str) -> InvoiceLinks:
        """Links to it as HTML and PDF that need no key, for a day."""
        return self._get(f"/invoices/{id}/links", cast_to=InvoiceLinks)


class AsyncInvoices(AsyncAPIResource):
    """`client.invoices` of the asynchronous client."""

    async def create(
        self,
        *,
        credits: int,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        save_payment_method: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Invoice:
        """Buy credits: they are there once it is paid, at its `checkout_url` where the server takes payments."""
        given = {
            "credits": credits,
            "description": description,
            "metadata": metadata,
            "save_payment_method": save_payment_method,
        }
        return await self._post(
            "/invoices", body=known(given), options=options(idempotency_key=idempotency_key), cast_to=Invoice
        )

    async def retrieve(self, id: str) -> Invoice:
        """An invoice."""
        return await self._get(f"/invoices/{id}", cast_to=Invoice)

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        kind: Literal["statement", "purchase"] | None = None,
        status: str | None = None,
        period: str | None = None,
        batch_id: str | None = None,
    ) -> AsyncPaginator[Invoice, AsyncPage[Invoice]]:
        """The invoices, the newest first."""
        query = {
            "limit": limit,
            "after": after,
            "kind": kind,
            "status": status,
            "period": period,
            "batch_id": batch_id,
        }
        return self._get_api_list("/invoices", page=AsyncPage[Invoice], model=Invoice, options=options(query=query))

    async def void(self, id: str) -> Invoice:
        """Void an open purchase, so that it is never paid."""
        return await self._post(f"/invoices/{id}/void", body={}, cast_to=Invoice)

    async def links(self, id: str) -> InvoiceLinks:
        """Links to it as HTML and PDF that need no key, for a day."""
        return await self._get(f"/invoices/{id}/links", cast_to=InvoiceLinks)

"""Webhooks, and the verification of what they receive."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource

from fusionai import webhook_verification
from fusionai.objects import CallbackSecret, DeletedWebhook, Delivery, Event, NewCallbackSecret, NewSecret, Webhook
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import known, options
from shared.webhooks.signing import TOLERANCE_SECONDS


class Webhooks(SyncAPIResource):
    """`client.webhooks`."""

    def create(self, url: str, *, events: Sequence[str] | None = None, description: str | None = None) -> NewSecret:
        """Have events sent to `url`; only this answer has the signing secret. No events: all of them."""
        body = known({"url": url, "events": [*events] if events else None, "description": description})
        return self._post("/webhooks", body=body, cast_to=NewSecret)

    def retrieve(self, id: str) -> Webhook:
        """A webhook."""
        return self._get(f"/webhooks/{id}", cast_to=Webhook)

    def update(
        self,
        id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        status: Literal["enabled", "disabled"] | None = None,
    ) -> Webhook:
        """Change what is given."""
        changes = {"url": url, "events": events, "description": description, "status": status}
        return self._patch(f"/webhooks/{id}", body=known(changes), cast_to=Webhook)

    def list(self, *, limit: int | None = None, after: str | None = None) -> Page[Webhook]:
        """The webhooks, the newest first."""
        query = {"limit": limit, "after": after}
        return self._get_api_list("/webhooks", page=Page[Webhook], model=Webhook, options=options(query=query))

    def delete(self, id: str) -> DeletedWebhook:
        """Send nothing more to it."""
        return self._delete(f"/webhooks/{id}", cast_to=DeletedWebhook)

    def rotate(self, id: str, *, overlap_seconds: int | None = None) -> NewSecret:
        """Give it a new secret; those before remain valid for a day, or as long as you say (0: it has leaked)."""
        body = known({"overlap_seconds": overlap_seconds})
        return self._post(f"/webhooks/{id}/rotate", body=body, cast_to=NewSecret)

    def test(self, id: str) -> Event:
        """Send a `webhook.test` event to it."""
        return self._post(f"/webhooks/{id}/test", body={}, cast_to=Event)

    def deliveries(self, id: str, *, limit: int | None = None, after: str | None = None) -> Page[Delivery]:
        """What was sent to it, the newest first, with every attempt."""
        query = {"limit": limit, "after": after}
        return self._get_api_list(
            f"/webhooks/{id}/deliveries", page=Page[Delivery], model=Delivery, options=options(query=query)
        )

    def secret(self) -> CallbackSecret:
        """What is known of the secret that signs deliveries to the `callback_url` of jobs and batches."""
        return self._get("/webhook_secret", cast_to=CallbackSecret)

    def rotate_secret(self, *, overlap_seconds: int | None = None) -> NewCallbackSecret:
        """Rotate that secret; only this answer shows it."""
        body = known({"overlap_seconds": overlap_seconds})
        return self._post("/webhook_secret/rotate", body=body, cast_to=NewCallbackSecret)

    def unwrap(
        self,
        payload: str | bytes,
        headers: Mapping[str, str],
        *,
        secret: str | Sequence[str] | None = None,
        tolerance_seconds: int = TOLERANCE_SECONDS,
        now: int | None = None,
        seen: Callable[[str], bool] | None = None,
    ) -> Event:
        """The event of a delivery that is genuine, else WebhookVerificationError; see `fusionai.webhook_verification`.

        `secret`: `whsec_…`, several of them while one is replaced, or the client's `webhook_secret`.
        """
        return unwrapped(payload, headers, secret or self._client.webhook_secret, tolerance_seconds, now, seen)

    #: The same.
    verify = unwrap


class AsyncWebhooks(AsyncAPIResource):
    """`client.webhooks` of the asynchronous client."""

    async def create(
        self, url: str, *, events: Sequence[str] | None = None, description: str | None = None
    ) -> NewSecret:
        """Have events sent to `url`; only this answer has the signing secret. No events: all of them."""
        body = known({"url": url, "events": [*events] if events else None, "description": description})
        return await self._post("/webhooks", body=body, cast_to=NewSecret)

    async def retrieve(self, id: str) -> Webhook:
        """A webhook."""
        return await self._get(f"/webhooks/{id}", cast_to=Webhook)

    async def update(
        self,
        id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        status: Literal["enabled", "disabled"] | None = None,
    ) -> Webhook:
        """Change what is given."""
        changes = {"url": url, "events": events, "description": description, "status": status}
        return await self._patch(f"/webhooks/{id}", body=known(changes), cast_to=Webhook)

    def list(
        self, *, limit: int | None = None, after: str | None = None
    ) -> AsyncPaginator[Webhook, AsyncPage[Webhook]]:
        """The webhooks, the newest first."""
        query = {"limit": limit, "after": after}
        return self._get_api_list("/webhooks", page=AsyncPage[Webhook], model=Webhook, options=options(query=query))

    async def delete(self, id: str) -> DeletedWebhook:
        """Send nothing more to it."""
        return await self._delete(f"/webhooks/{id}", cast_to=DeletedWebhook)

    async def rotate(self, id: str, *, overlap_seconds: int | None = None) -> NewSecret:
        """Give it a new secret; those before remain valid for a day, or as long as you say (0: it has leaked)."""
        body = known({"overlap_seconds": overlap_seconds})
        return await self._post(f"/webhooks/{id}/rotate", body=body, cast_to=NewSecret)

    async def test(self, id: str) -> Event:
        """Send a `webhook.test` event to it."""
        return await self._post(f"/webhooks/{id}/test", body={}, cast_to=Event)

    def deliveries(
        self, id: str, *, limit: int | None = None, after: str | None = None
    ) -> AsyncPaginator[Delivery, AsyncPage[Delivery]]:
        """What was sent to it, the newest first, with every attempt."""
        query = {"limit": limit, "after": after}
        return self._get_api_list(
            f"/webhooks/{id}/deliveries", page=AsyncPage[Delivery], model=Delivery, options=options(query=query)
        )

    async def secret(self) -> CallbackSecret:
        """What is known of the secret that signs deliveries to the `callback_url` of jobs and batches."""
        return await self._get("/webhook_secret", cast_to=CallbackSecret)

    async def rotate_secret(self, *, overlap_seconds: int | None = None) -> NewCallbackSecret:
        """Rotate that secret; only this answer shows it."""
        body = known({"overlap_seconds": overlap_seconds})
        return await self._post("/webhook_secret/rotate", body=body, cast_to=NewCallbackSecret)

    def unwrap(
        self,
        payload: str | bytes,
        headers: Mapping[str, str],
        *,
        secret: str | Sequence[str] | None = None,
        tolerance_seconds: int = TOLERANCE_SECONDS,
        now: int | None = None,
        seen: Callable[[str], bool] | None = None,
    ) -> Event:
        """The event of a delivery that is genuine, else WebhookVerificationError; see `fusionai.webhook_verification`.

        `secret`: `whsec_…`, several of them while one is replaced, or the client's `webhook_secret`.
        """
        return unwrapped(payload, headers, secret or self._client.webhook_secret, tolerance_seconds, now, seen)

    #: The same.
    verify = unwrap


def unwrapped(
    payload: str | bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str] | None,
    tolerance_seconds: int,
    now: int | None,
    seen: Callable[[str], bool] | None,
) -> Event:
    """The event of a delivery."""
    if not secret:
        raise ValueError("no secret: give secret, or make the client with webhook_secret")
    event = webhook_verification.verify(
        payload, headers, secret, tolerance_seconds=tolerance_seconds, now=now, seen=seen
    )
    return Event.construct(**event)

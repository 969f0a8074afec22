"""Every event, in order: follow them if you must miss none."""

from collections.abc import Sequence

from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource

from fusionai.objects import Delivery, Event
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import options


class Events(SyncAPIResource):
    """`client.events`."""

    def list(self, *, after: str | None = None, limit: int | None = None, types: Sequence[str] = ()) -> Page[Event]:
        """The account's events after one, the oldest first; of these types."""
        query = {"after": after, "limit": limit, "type": ",".join(types) or None}
        return self._get_api_list("/events", page=Page[Event], model=Event, options=options(query=query))

    def retrieve(self, id: str) -> Event:
        """An event."""
        return self._get(f"/events/{id}", cast_to=Event)

    def deliveries(self, id: str, *, after: str | None = None, limit: int | None = None) -> Page[Delivery]:
        """Where it was sent, with every attempt."""
        query = {"after": after, "limit": limit}
        return self._get_api_list(
            f"/events/{id}/deliveries", page=Page[Delivery], model=Delivery, options=options(query=query)
        )

    def redeliver(self, id: str) -> Event:
        """Send it again, to its callback and to the webhooks that had it and are enabled."""
        return self._post(f"/events/{id}/redeliver", body={}, cast_to=Event)


class AsyncEvents(AsyncAPIResource):
    """`client.events` of the asynchronous client."""

    def list(
        self, *, after: str | None = None, limit: int | None = None, types: Sequence[str] = ()
    ) -> AsyncPaginator[Event, AsyncPage[Event]]:
        """The account's events after one, the oldest first; of these types."""
        query = {"after": after, "limit": limit, "type": ",".join(types) or None}
        return self._get_api_list("/events", page=AsyncPage[Event], model=Event, options=options(query=query))

    async def retrieve(self, id: str) -> Event:
        """An event."""
        return await self._get(f"/events/{id}", cast_to=Event)

    def deliveries(
        self, id: str, *, after: str | None = None, limit: int | None = None
    ) -> AsyncPaginator[Delivery, AsyncPage[Delivery]]:
        """Where it was sent, with every attempt."""
        query = {"after": after, "limit": limit}
        return self._get_api_list(
            f"/events/{id}/deliveries", page=AsyncPage[Delivery], model=Delivery, options=options(query=query)
        )

    async def redeliver(self, id: str) -> Event:
        """Send it again, to its callback and to the webhooks that had it and are enabled."""
        return await self._post(f"/events/{id}/redeliver", body={}, cast_to=Event)

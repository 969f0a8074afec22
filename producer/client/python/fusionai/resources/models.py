"""What the key can use, with provider, purpose and price."""

from openai._base_client import AsyncPaginator
from openai._resource import AsyncAPIResource, SyncAPIResource

from fusionai.objects import Model
from fusionai.pages import AsyncPage, Page
from fusionai.resources.calling import options


class Models(SyncAPIResource):
    """`client.models`."""

    def list(self, *, limit: int | None = None, after: str | None = None) -> Page[Model]:
        """All models."""
        query = {"limit": limit, "after": after}
        return self._get_api_list("/models", page=Page[Model], model=Model, options=options(query=query))

    def retrieve(self, id: str) -> Model:
        """A model."""
        return self._get(f"/models/{id}", cast_to=Model)


class AsyncModels(AsyncAPIResource):
    """`client.models` of the asynchronous client."""

    def list(self, *, limit: int | None = None, after: str | None = None) -> AsyncPaginator[Model, AsyncPage[Model]]:
        """All models."""
        query = {"limit": limit, "after": after}
        return self._get_api_list("/models", page=AsyncPage[Model], model=Model, options=options(query=query))

    async def retrieve(self, id: str) -> Model:
        """A model."""
        return await self._get(f"/models/{id}", cast_to=Model)

"""An answer of the API that goes to the browser as it comes, of any size."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from producer.console.api import Api, Call


class Relayed(Response):
    """The API's own answer to a call, its headers included."""

    def __init__(self, api: Api, call: Call) -> None:
        super().__init__()
        self._api, self._call = api, call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._api.relay(self._call, receive, send)

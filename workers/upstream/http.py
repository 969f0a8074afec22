"""What is needed of an HTTP client to call a provider: a POST, and its answer as it comes.

`workers.upstream.transport.ProviderClient` is the one that workers have; a test may give another.
"""

from collections.abc import Mapping
from typing import Protocol


class HttpAnswer(Protocol):
    """An answer whose head has come. What breaks in it is an httpx.RequestError."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters."""

    async def piece(self) -> bytes | None:
        """The next piece of the body; None: there is no more."""

    async def aclose(self) -> None:
        """No more of it is wanted."""


class HttpClient(Protocol):
    """Sends requests to providers."""

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        silence_seconds: float | None = None,
        *,
        streamed: bool = False,
    ) -> HttpAnswer:
        """POST; the answer once its head has come. httpx.RequestError.

        `silence_seconds`: how long a silence the call bears; None: as long as the whole call. `streamed`: the answer
        comes in many pieces, over a time.
        """

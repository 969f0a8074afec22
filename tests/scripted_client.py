"""A client of providers that answers from a function of the request: for tests of what is made of answers."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import httpx


@dataclass
class Scripted:
    """An answer: its status, its headers by their names in small letters, and its body in pieces."""

    status_code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: AsyncIterator[bytes] | None = None

    async def piece(self) -> bytes | None:
        return None if self.body is None else await anext(self.body, None)

    async def aclose(self) -> None: ...


class ScriptedClient:
    """Hands each request to `handler`, which returns its answer or raises what breaks."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self._handler = handler

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        silence_seconds: float | None = None,
        *,
        streamed: bool = False,
    ) -> Scripted:
        answer = self._handler(httpx.Request("POST", url, headers=dict(headers), content=body))
        return Scripted(answer.status_code, dict(answer.headers), answer.aiter_bytes())

"""The web search that the settings name, as an upstream whose only calls are searches; it never fails a job.

How it is called: `shared.network.guarded_calls`. What goes wrong is told to the model in a few words of our own.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from shared.network.guarded import Lookup, look_up
from shared.network.guarded_calls import GuardedCalls
from shared.settings import Settings
from shared.submissions.schemas import Usage
from workers.providers import ProviderAnswer, ProviderCall
from workers.search.formats import FORMATS, SearchRequest, items

log = logging.getLogger(__name__)

#: Searches at once in a process.
CONNECTIONS: Final = 16
#: Bytes of an answer.
MOST_BYTES: Final = 2 * 1024**2
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "FusionAI-Search/1"}


#: What the model is told where more is for the log.
_AWAY: Final = "the search is unavailable"


class _FailedError(Exception):
    """A search that came to nothing; its text is told to the model."""


class WebSearch:
    """One process's way to the search."""

    def __init__(self, own: Settings, lookup: Lookup = look_up) -> None:
        self._kind, self._key = own.search_kind, own.search_key
        self._url = own.search_url.rstrip("/")
        self._seconds, self._most = own.search_seconds, own.search_results
        self._calls = GuardedCalls(
            CONNECTIONS,
            own.search_seconds,
            MOST_BYTES,
            allow_loopback=own.search_allow_loopback,
            allow_private=own.search_allow_private,
            lookup=lookup,
        )
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="search")

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """See Upstream. Its usage has a prompt token for each query for which something was found."""
        queries = call.request["queries"]
        results = await asyncio.gather(*(self._in_turn(call.offer.upstream, query) for query in queries))
        return ProviderAnswer(
            {"object": "web_search", "results": results},
            Usage(prompt_tokens=sum(bool(one["items"]) for one in results)),
        )

    def close(self) -> None:
        """Search no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._calls.close()

    async def _in_turn(self, kind: str, query: str) -> dict[str, Any]:
        """What came of one query, which waits for a thread no longer than it may take itself."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._result, kind, query)
        try:
            return await asyncio.wait_for(running, 2 * self._seconds)
        except TimeoutError:
            log.warning("the web search is too slow for what is asked of it")
            return {"query": query, "items": [], "error": _AWAY}

    def _result(self, kind: str, query: str) -> dict[str, Any]:
        """The same, on a thread."""
        made: dict[str, Any] = {"query": query, "items": [], "error": None}
        try:
            made["items"] = self._search(kind, query)
        except _FailedError as error:
            made["error"] = str(error)
        except Exception as error:  # whatever is wrong with it: its words may name addresses
            log.warning("the web search failed: %s", type(error).__name__)
            made["error"] = _AWAY
        return made

    def _search(self, kind: str, query: str) -> list[dict[str, str]]:
        if not query:
            raise _FailedError("the query is missing")
        format = FORMATS.get(kind)
        if format is None or kind != self._kind:
            raise _FailedError("the search is not configured")
        asked = format.ask(self._url or format.usual, self._key, query, self._most)
        return items(format, self._body(asked), self._most)

    def _body(self, asked: SearchRequest) -> bytes:
        answer = self._calls.call(asked.method, asked.url, {**_HEADERS, **asked.headers}, asked.body or None)
        if answer.status != 200:
            log.warning("the web search answered with status %d", answer.status)
            raise _FailedError(_AWAY)
        return answer.body

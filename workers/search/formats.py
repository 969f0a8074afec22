"""The wire formats of web searches: what is sent for a query, and what is read of the answer. Pure.

Sources: SearXNG, docs.searxng.org/dev/search_api.html (`format=json` has to be allowed in the instance's settings);
Brave, api-dashboard.search.brave.com/app/documentation/web-search/get-started (`X-Subscription-Token`, `count` up to
20, `web.results[].description` with markup); Tavily, docs.tavily.com/documentation/api-reference/endpoint/search
(a bearer token, `max_results` up to 20, `results[].content`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from typing import Any, Final
from urllib.parse import urlencode

import orjson

#: Characters of a title, of an address, and of what is shown of a page.
MOST_TITLE, MOST_URL, MOST_TEXT = 200, 1000, 2000
#: What is shown on no page, and does harm in a terminal or a log.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MARKUP: Final = re.compile(r"</?[a-zA-Z][^<>]{0,100}>")


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What is sent for a query."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Format:
    """One search's way to be asked. `usual`: its own URL; empty: it has none."""

    usual: str
    #: The request for a query: of the base URL, the key, the query, and how many results are wanted.
    ask: Callable[[str, str, str, int], SearchRequest]
    #: The results in a parsed answer, which has the right shape as far as it could be checked, and the name that the
    #: text of one has.
    results: Callable[[Any], Any]
    text: str


def items(format: Format, body: bytes, most: int) -> list[dict[str, str]]:
    """The first results of an answer: `title`, `url`, `text`; ValueError when it is none."""
    parsed = orjson.loads(body)
    found = format.results(parsed) if isinstance(parsed, dict) else None
    if not isinstance(found, list):
        raise ValueError("the answer has no results")
    return list(_items(found, format.text))[:most]


def _items(found: Sequence[Any], name: str) -> Iterable[dict[str, str]]:
    for one in found:
        url = one.get("url") if isinstance(one, dict) else None
        if isinstance(url, str) and _is_address(url):
            yield {
                "title": _text(one.get("title"), MOST_TITLE) or url,
                "url": url,
                "text": _text(one.get(name), MOST_TEXT),
            }


def _is_address(url: str) -> bool:
    """Whether it may be shown as the address of a page: one word, of the web."""
    return url.startswith(("http://", "https://")) and len(url) <= MOST_URL and url.isprintable() and " " not in url


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str):
        return ""
    bare = _MARKUP.sub("", value)
    with suppress(ValueError):  # a character's number with thousands of digits
        bare = unescape(bare)
    return " ".join(_CONTROL.sub(" ", bare).split())[:most]


def _searxng(base: str, key: str, query: str, most: int) -> SearchRequest:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return SearchRequest("GET", f"{base}/search?{urlencode({'q': query, 'format': 'json'})}", headers)


def _brave(base: str, key: str, query: str, most: int) -> SearchRequest:
    asked = urlencode({"q": query, "count": most})
    return SearchRequest("GET", f"{base}/res/v1/web/search?{asked}", {"X-Subscription-Token": key})


def _tavily(base: str, key: str, query: str, most: int) -> SearchRequest:
    body = orjson.dumps({"query": query, "max_results": most})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return SearchRequest("POST", f"{base}/search", headers, body)


def _of_brave(parsed: Mapping[str, Any]) -> Any:
    """Without a result it has no `web` at all."""
    web = parsed.get("web", {})
    return web.get("results", []) if isinstance(web, dict) else None


FORMATS: Final[Mapping[str, Format]] = {
    "searxng": Format("", _searxng, lambda parsed: parsed.get("results"), "content"),
    "brave": Format("https://api.search.brave.com", _brave, _of_brave, "description"),
    "tavily": Format("https://api.tavily.com", _tavily, lambda parsed: parsed.get("results"), "content"),
}

"""Web searches, as SearXNG, Brave and Tavily answer them: three results, made up of the query.

Sources: see `workers.search.formats`. For a query with `nothing` in it there is none.
"""

from typing import Any
from urllib.parse import quote

from workers.simulator.messages import SimulatedRefusal, SimulatedReply, SimulatedRequest, Twist, json_reply, need

#: A query with this word finds nothing.
NOTHING = "nothing"


def searxng(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """`GET /search`; other formats than JSON are for people, and 403 where they are not allowed."""
    if request.query.get("format") != "json":
        raise SimulatedRefusal(403, "Forbidden")
    query = request.query.get("q", "")
    found = [{**one, "content": text, "engine": "simulated", "score": 1.0} for one, text in _found(query)]
    return json_reply({"query": query, "number_of_results": 0, "results": found, "answers": [], "suggestions": []})


def brave(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """`GET /res/v1/web/search`."""
    count = int(request.query.get("count", "20"))
    found = [
        {**one, "description": f"<strong>Found</strong>: {text}", "type": "search_result"}
        for one, text in _found(request.query.get("q", ""))
    ]
    web = {"web": {"type": "search", "results": found[:count]}} if found else {}
    return json_reply({"type": "search", "query": {"original": request.query.get("q", "")}, **web})


def tavily(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """`POST /search`."""
    query = need(request.body, "query", str)
    found = [{**one, "content": text, "score": 0.9, "raw_content": None} for one, text in _found(query)]
    most = request.body.get("max_results", 5)
    return json_reply({"query": query, "answer": None, "images": [], "results": found[:most], "response_time": 0.1})


def _found(query: str) -> list[tuple[dict[str, Any], str]]:
    """Pages, each with what is shown of it."""
    if not query or NOTHING in query:
        return []
    return [
        (
            {"title": f"Page {number} about {query}", "url": f"https://example.com/{number}?about={quote(query)}"},
            f"Simulated fact {number} about {query}.",
        )
        for number in (1, 2, 3)
    ]

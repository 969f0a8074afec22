"""The conductor of chats with `grounding`: the model may search the web before it answers. Pure.

Steps: `ask`, the request with a tool for searches; where the model calls it, `search`, which runs up to MOST_QUERIES of
its queries, and `answer`, in which the model is given what was found as the result of its call. A search that found
something is charged as TOKENS tokens of input, once; one that failed costs nothing, and the model is told of it.

Source of the fields of citations: platform.openai.com/docs/api-reference/chat/object (`message.annotations`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from shared.errors import UpstreamError
from shared.money.pricing import Amount, Overheads, UnitPrices
from shared.submissions import extras
from shared.submissions.charging import USED
from shared.submissions.job_types import JobType
from shared.submissions.requests import Message
from shared.submissions.schemas import Usage
from shared.submissions.steps.conducting import Asked, Failure, FinalAnswer, Finished, Step

#: The field of a request that asks for it.
FIELD: Final = "grounding"
#: The type, the role and the provider of a search, which is no model's.
SEARCH: Final = "web_search"
#: The name of its step.
STEP: Final = "search"
#: What a search that found something is charged as: tokens of input, however many queries it has.
TOKENS: Final = 4000
MOST_QUERIES: Final = 3
#: Characters of a query: what Brave takes.
MOST_QUERY: Final = 400
#: UTF-8 bytes of all that the model is given of what was found.
MOST_BYTES: Final = 12_000
#: Of a chat with tools of the caller's own, one of which may be called like ours.
_NAMES: Final = ("web_search", "fusionai_web_search", "fusionai_web_search_2")
_DESCRIPTION: Final = (
    "Searches the web. Call it when the answer depends on recent events or on facts that you are not sure of."
)
_PARAMETERS: Final = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What to search for, in a few words."}},
    "required": ["query"],
}
#: Bytes of the tool and of the call in the conversation, beside its queries.
_TOOL_BYTES: Final = 1000
_NOTHING: Final[dict[str, Any]] = dict.fromkeys(USED, 0)


class Grounding:
    """See `conducting.Conductor`."""

    roles: Mapping[str, JobType] = {}
    by_first_offer = False

    def refused(self, asked: Asked) -> Iterator[tuple[str, str]]:
        """Several answers, and a choice of tools that leaves no room for a search."""
        if (asked.request.get("n") or 1) > 1:
            yield "n", f"must be 1 with {FIELD}"
        yield from refused(asked.request)

    def next_step(self, asked: Asked, finished: Sequence[Finished]) -> Step | FinalAnswer | Failure:
        """Ask; search, if the model wants it; answer."""
        by = {one.name: one for one in finished}
        if not by:
            return Step("ask", "chat.completion", offered(asked.request))
        if not (wanted := search(asked.request, by["ask"].body)):
            return FinalAnswer(dict(by["ask"].body))
        if "search" not in by:
            return wanted
        found = by["search"].body
        if "answer" not in by:
            told = answered(asked.request, by["ask"].body, found)
            return Step("answer", "chat.completion", told, visible=True)
        body = cited(asked.request, by["answer"].body, found)
        return FinalAnswer(body) if body else NO_ANSWER

    def counted(self, asked: Asked, step: Step, usage: Usage) -> Usage:
        """What the provider reported; of a search that found something, its tokens."""
        return charged(usage) if step.type == SEARCH else usage

    def worst(self, asked: Asked, text: Amount, whole: Amount, overheads: Overheads) -> Sequence[Sequence[Amount]]:
        """A question, a search, and an answer."""
        return [worst(whole, overheads)]


#: The end of a job whose model calls for another search in place of an answer.
NO_ANSWER: Final = Failure(UpstreamError("the model did not answer after its search", reason="empty"))


def refused(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what leaves no name for our tool."""
    if all(name in _own_names(request) for name in _NAMES):
        yield "tools", f"no function may be called {_NAMES[0]} with {FIELD}"


def worst(whole: Amount, overheads: Overheads) -> Sequence[Amount]:
    """The worst cases of a question with the tool, of a search, and of the answer with what was found.

    `whole`: that of the request without a search.
    """
    first = replace(whole, input_tokens=whole.input_tokens + _TOOL_BYTES + overheads.tools + overheads.tool)
    said = 2 * first.output_tokens + MOST_QUERIES * (MOST_QUERY * 4 + overheads.message) + _TOOL_BYTES
    answer = replace(first, input_tokens=first.input_tokens + said + MOST_BYTES + 2 * overheads.message)
    return [first, Amount(input_tokens=TOKENS), answer]


def charged(usage: Usage) -> Usage:
    """What a search is charged for; `usage`: its prompt tokens are the queries for which something was found."""
    return Usage(**{**_NOTHING, "prompt_tokens": TOKENS if usage.prompt_tokens else 0})


def price_of(step: str, price: UnitPrices) -> UnitPrices:
    """The price of a job's step: a search is no request of the model, whose price of one does not count."""
    return replace(price, request=0) if step == STEP else price


def offered(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request in which the model is offered the search beside the caller's own tools."""
    made = {name: value for name, value in request.items() if name != FIELD}
    own = () if request.get("tool_choice") == "none" else request.get("tools", ())
    if not own:
        made.pop("tool_choice", None)
    made["tools"] = [*own, _tool(request)]
    return made


def search(request: Mapping[str, Any], body: Mapping[str, Any]) -> Step | None:
    """The search that the model wants, by its answer; None: none."""
    calls = searches(request, body)
    return Step(STEP, SEARCH, {"queries": [query for _, query in calls]}, role=SEARCH) if calls else None


def searches(request: Mapping[str, Any], body: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The searches that the model has called for in its answer, each with its query."""
    name = _name(request)
    calls = body["choices"][0]["message"].get("tool_calls") or ()
    found = [(call, _query(call)) for call in calls if call["function"]["name"] == name]
    return found[:MOST_QUERIES]


def answered(request: Mapping[str, Any], ask: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The request after a search: the model's calls of it, and what was found as their results.

    Its calls of other tools are left out: it may make them again. Without tools of the caller's it is to answer now.
    """
    made = {name: value for name, value in request.items() if name != FIELD}
    calls = searches(request, ask)
    said = {name: value for name, value in ask["choices"][0]["message"].items() if value is not None}
    turn = {**said, "role": "assistant", "tool_calls": [call for call, _ in calls]}
    turn.setdefault("content", None)
    beside = dict(request.get(extras.KEY) or {})
    at = len(request["messages"])
    turn = extras.take(Message, turn, beside, ignore_unknown=True, within=f"messages[{at}]")
    texts = _results(found)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": text}
        for (call, _), text in zip(calls, texts, strict=True)
    ]
    made["messages"] = [*request["messages"], turn, *results]
    if beside:
        made[extras.KEY] = beside
    if not request.get("tools"):
        made |= {"tools": [_tool(request)], "tool_choice": "none"}
    return made


def sources(found: Mapping[str, Any], length: int) -> list[dict[str, Any]]:
    """What was found, as the citations of an answer of so many characters: the model does not say which is for what."""
    unique = {item["url"]: item["title"] for result in found["results"] for item in result["items"]}
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": length, "url": url, "title": title},
        }
        for url, title in unique.items()
    ]


def cited(request: Mapping[str, Any], body: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer with its sources, without calls of our tool, which the caller does not know; None: it is none."""
    choice = dict(body["choices"][0])
    message = dict(choice["message"])
    if searched := [call["id"] for call, _ in searches(request, body)]:
        message["tool_calls"] = [call for call in message["tool_calls"] if call["id"] not in searched]
        if not message["tool_calls"]:
            del message["tool_calls"]
            choice["finish_reason"] = "stop"
        if not message.get("content") and not message.get("tool_calls"):
            return None
    if known := sources(found, len(message.get("content") or "")):
        message["annotations"] = known
    return {**body, "choices": [{**choice, "message": message}]}


def _own_names(request: Mapping[str, Any]) -> set[str]:
    return {tool["function"]["name"] for tool in request.get("tools", ())}


def _name(request: Mapping[str, Any]) -> str:
    """What our tool is called beside the caller's own."""
    own = _own_names(request)
    return next((name for name in _NAMES if name not in own), _NAMES[-1])


def _tool(request: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": _name(request), "description": _DESCRIPTION, "parameters": _PARAMETERS}
    return {"type": "function", "function": function}


def _query(call: Mapping[str, Any]) -> str:
    """The query of a call; empty where there is none."""
    try:
        query = orjson.loads(call["function"]["arguments"])["query"]
    except (ValueError, LookupError, TypeError):
        return ""
    return " ".join(query.split())[:MOST_QUERY] if isinstance(query, str) else ""


def _results(found: Mapping[str, Any]) -> list[str]:
    """What the model is told of each search, together within MOST_BYTES."""
    share = MOST_BYTES // max(len(found["results"]), 1)
    return [_cut(_told(result), share) for result in found["results"]]


def _told(result: Mapping[str, Any]) -> str:
    if result.get("error"):
        return f"The search failed ({result['error']}). Answer without it, and say so if it matters."
    if not result["items"]:
        return "Nothing was found."
    return "\n\n".join(
        f"[{number}] {item['title']}\n{item['url']}\n{item['text']}"
        for number, item in enumerate(result["items"], start=1)
    )


def _cut(text: str, most: int) -> str:
    return text.encode(errors="replace")[:most].decode(errors="ignore")

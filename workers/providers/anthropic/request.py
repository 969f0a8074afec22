"""A canonical request as a body of Anthropic's Messages, and what of it the provider has no place for.

Source: platform.claude.com/docs/en/api/messages/create. Only what the caller or the catalogue asked for is sent, but
for the limit on the answer, which the provider requires; `turns` has the messages, `thinking` how the model thinks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.submissions import extras
from shared.submissions.schemas import NULLS, UNASKED
from shared.submissions.sending import Sending
from workers.providers import ProviderCall
from workers.providers.anthropic.hints import Hints
from workers.providers.anthropic.models import Traits, traits
from workers.providers.anthropic.schema import enforceable
from workers.providers.anthropic.thinking import SentThinking, thinking
from workers.providers.anthropic.turns import Conversation, conversation

Body = dict[str, Any]

#: Fields that are ours or the client's, or that the answer speaks of, about which nothing need be said here.
_SILENT: Final = frozenset({"messages", "max_tokens", "n", "stream", "stream_options", extras.KEY, UNASKED, NULLS})
#: Those that go only to a provider whose catalogue row takes them.
_TAKEN: Final = frozenset({"cache_control", "reasoning", "thinking", "top_k"})
#: What rules the way that words are chosen; beside thoughts none of them may be set.
_SAMPLING: Final[tuple[str, ...]] = ("temperature", "top_p", "top_k")
#: The provider's names of the service tiers that have no price of their own.
_TIERS: Final = {"auto": "auto", "default": "standard_only"}
#: Characters of an end user's name.
_MOST_USER: Final = 256
#: A tool without parameters still says so.
_NO_PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Composed:
    """A body to send, and the paths of what of the request is not in it."""

    body: Body
    ignored: list[str]


def composed(call: ProviderCall, sending: Sending) -> Composed:
    """The body of a call, unstreamed or streamed."""
    request, offer = call.request, call.offer
    given = _given(request, sending, frozenset(offer.omit))
    hints = Hints(request.get(extras.KEY) or {}, sending.takes)
    model = traits(offer.upstream, sending.rename.get("reasoning_effort"))
    limit = request.get("max_tokens") or offer.max_output
    talk = conversation(request["messages"], hints)
    tools = [_tool(tool, f"tools[{at}]", hints) for at, tool in enumerate(given.get("tools") or ())]
    choice = _choice(given, model) if tools else {}
    thought = _thought(given, model, limit, talk, choice)
    body: Body = {"model": offer.upstream, "max_tokens": limit}
    if talk.system:
        body["system"] = talk.system
    body["messages"] = talk.turns
    body |= {"tools": tools} if tools else {}
    body |= choice | thought.fields
    sampled = model.samples and not thought.on
    body |= _plain(given) | _tier(given, offer.service_tier, sending) | (_sampling(given, sending) if sampled else {})
    body |= _output(given, thought)
    if call.sink is not None:
        body["stream"] = True
    sent = _sent(given, body, thought, sampled)
    left = [*_left_out(request, sent), *talk.unsent, *hints.unsent()]
    return Composed(_renamed(body, sending), left)


def _given(request: Mapping[str, Any], sending: Sending, omit: frozenset[str]) -> Body:
    """The fields that may go to this provider, of those of which it takes one the first."""
    omitted = sending.omit | omit
    given = {
        name: value
        for name, value in request.items()
        if name not in omitted and (name not in _TAKEN or name in sending.takes)
    }
    rivals = [name for name in sending.either if name in given]
    for name in rivals[1:]:
        del given[name]
    return given


def _thought(given: Body, model: Traits, limit: int, talk: Conversation, choice: Body) -> SentThinking:
    forced = choice.get("tool_choice", {}).get("type") in ("any", "tool")
    stuck = model.style == "budget" and talk.thoughtless_call
    return thinking(given, model, limit, may_begin=not (forced or stuck))


def _tool(tool: Mapping[str, Any], path: str, hints: Hints) -> Body:
    function = tool["function"]
    made: Body = {"name": function["name"]}
    if description := function.get("description"):
        made["description"] = description
    schema = {"type": "object", **(function.get("parameters") or _NO_PARAMETERS)}
    made["input_schema"] = enforceable(schema) if function.get("strict") else schema
    if function.get("strict"):
        made["strict"] = True
    for place in (f"{path}.function.cache_control", f"{path}.cache_control"):
        if hint := hints.take(place):
            made["cache_control"] = hint
    return made


def _choice(given: Body, model: Traits) -> Body:
    """Which tools are to be called; one call at a time is an option of that."""
    asked = given.get("tool_choice")
    if isinstance(asked, dict):
        choice = {"type": "tool", "name": asked["function"]["name"]}
    else:
        choice = {"type": {"required": "any"}.get(asked, asked) if asked else "auto"}
    if choice["type"] in ("any", "tool") and not model.forces:
        choice = {"type": "auto"}
    single = given.get("parallel_tool_calls") is False and choice["type"] != "none"
    if single:
        choice["disable_parallel_tool_use"] = True
    return {"tool_choice": choice} if asked or single else {}


def _plain(given: Body) -> Body:
    """Fields that mean the same there, but for their names."""
    body: Body = {}
    if stops := [one for one in _stops(given) if one.strip()]:
        body["stop_sequences"] = stops
    user = given.get("safety_identifier") or given.get("user")
    if user and len(user) <= _MOST_USER:
        body["metadata"] = {"user_id": user}
    if cached := given.get("cache_control"):
        body["cache_control"] = cached
    return body


def _tier(given: Body, offered: str, sending: Sending) -> Body:
    """The service tier of the offer, else as the request says; one that the provider has no name for is not sent."""
    if "service_tier" not in given:
        return {}
    asked = offered or given["service_tier"]
    name = sending.tiers.get(asked) or _TIERS.get(asked)
    return {"service_tier": name} if name else {}


def _stops(given: Body) -> list[str]:
    """Where the answer is to end; the provider refuses what is nothing but blanks."""
    stop = given.get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def _sampling(given: Body, sending: Sending) -> Body:
    """Sampling: as the request says, else the catalogue; a temperature above 1 becomes 1, the provider's maximum."""
    body: Body = {name: given[name] for name in _SAMPLING if name in given}
    for name, value in sending.defaults.items():
        rivals = sending.either if name in sending.either else (name,)
        if name in _SAMPLING and name not in sending.omit and not any(rival in body for rival in rivals):
            body[name] = value
    if body.get("temperature", 0) > 1:
        body["temperature"] = 1
    if body.get("top_k", 1) < 1:  # OpenAI-like servers mean by it that there is no such limit
        del body["top_k"]
    return body


def _output(given: Body, thought: SentThinking) -> Body:
    config: Body = {}
    if thought.effort:
        config["effort"] = thought.effort
    form = given.get("response_format") or {}
    if form.get("type") == "json_schema":
        config["format"] = {"type": "json_schema", "schema": enforceable(form["json_schema"]["schema"])}
    return {"output_config": config} if config else {}


def _sent(given: Body, body: Body, thought: SentThinking, sampled: bool) -> frozenset[str]:
    """The request's fields that are in the body, or that ask for nothing."""
    names = set(thought.sent)
    if sampled:
        names.update(name for name in _SAMPLING if name in given)
    names.update(name for name in ("service_tier", "tools", "cache_control") if name in body)
    if "stop" in given and _stops(given) == body.get("stop_sequences", []):
        names.add("stop")
    if "metadata" in body:
        names.add("safety_identifier" if given.get("safety_identifier") else "user")
    form = given.get("response_format") or {}
    if form.get("type") == "text" or "format" in body.get("output_config", {}):
        names.add("response_format")
    names.update(_choice_sent(given, body))
    return frozenset(names)


def _choice_sent(given: Body, body: Body) -> Iterator[str]:
    choice = body.get("tool_choice", {})
    asked = given.get("tool_choice")
    if choice and (asked in ("auto", "none") or choice["type"] in ("any", "tool")):
        yield "tool_choice"
    asks_nothing = given.get("parallel_tool_calls") is not False or choice.get("type") == "none"
    if asks_nothing or "disable_parallel_tool_use" in choice:
        yield "parallel_tool_calls"


def _left_out(request: Mapping[str, Any], sent: frozenset[str]) -> Iterator[str]:
    yield from (name for name in request if name not in sent and name not in _SILENT)
    options = request.get("stream_options") or {}
    yield from (f"stream_options.{name}" for name, value in options.items() if value and name != "include_usage")


def _renamed(body: Body, sending: Sending) -> Body:
    """The row's own names for fields at the top of the body."""
    return {sending.rename.get(name, name): value for name, value in body.items()}

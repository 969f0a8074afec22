"""What of a request is sent in the OpenAI protocol, and what of it is not, which the job lists.

Source: OpenAI's API reference; Anthropic's, Google's and DeepInfra's pages on their OpenAI-compatible endpoints. Only
known fields are sent, and of these only what the caller or the catalogue asked for; a limit on the answer always is.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from shared.submissions import extras
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import NULLS, UNASKED
from shared.submissions.sending import Sending
from workers.providers import ProviderCall
from workers.providers.openai import tool_pictures
from workers.upstream.json_body import encoded

Body = dict[str, Any]
Chosen: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]

#: Canonical chat fields that this protocol has under the same name.
_CHAT: Final = frozenset(
    "messages temperature top_p n stop presence_penalty frequency_penalty seed logprobs top_logprobs tools tool_choice "
    "parallel_tool_calls response_format user logit_bias prediction reasoning_effort verbosity web_search_options "
    "moderation prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier".split()
)
#: Those that go only to whoever's catalogue row takes them; of a tier it is the price that says so.
_TAKEN: Final = frozenset(
    "service_tier store cache_control repetition_penalty top_k min_p thinking reasoning enable_thinking "
    "chat_template_kwargs extra_body".split()
)
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "chat.completion": _CHAT,
    "embedding": frozenset(("input", "encoding_format", "dimensions", "user")),
    "image": frozenset(
        "prompt size n response_format user background moderation output_compression output_format quality "
        "safety_identifier style".split()
    ),
}
#: Fields that are ours or the client's, about which nothing need be said.
_SILENT: Final = frozenset({"max_tokens", "stream", "stream_options", extras.KEY, UNASKED, NULLS})
#: Paths that a job lists of what was left out.
MOST_LISTED: Final = 200


def payload(call: ProviderCall) -> bytes:
    """The body to send."""
    body = composed(call, sending_of(call))
    if call.sink is not None:
        body["stream"] = True
        if "stream_options" not in sending_of(call).omit:
            body["stream_options"] = {"include_usage": True}
    return encoded(body)


def sending_of(call: ProviderCall) -> Sending:
    """What its model is sent: as the catalogue says now, so that a row that was put right helps jobs that wait."""
    if (found := call.sending) is None:
        found = call.sending = catalogue().sending_for(call.offer.provider, call.offer.model, call.offer.upstream)
    return found


def composed(call: ProviderCall, sending: Sending) -> Body:
    """The body in the provider's words."""
    request, offer = call.request, call.offer
    body: Body = {"model": offer.upstream}
    for name in _chosen(call, sending)[0]:
        body[name] = request[name]
    if call.type == "chat.completion":
        _complete(body, call, sending)
    if offer.service_tier and "service_tier" in body:
        body["service_tier"] = sending.tiers.get(offer.service_tier, offer.service_tier)
    if extras.KEY in request and (kept := extras.taken(request[extras.KEY] or {}, sending.takes)):
        body = extras.put(body, kept)
    if call.type == "chat.completion":  # only now: what stands beside messages is put by their places
        body["messages"] = tool_pictures.moved(body["messages"])
    for name, other in sending.rename.items():
        if name in body:
            body[other] = body.pop(name)
    return body


def _complete(body: Body, call: ProviderCall, sending: Sending) -> None:
    """What only chats have: each step is passed over where nothing asks for it."""
    request = call.request
    if "reasoning" in request:
        _effort(body, call, sending)
    if sending.defaults:
        _add_defaults(body, sending)
    if "tools" in request:
        body.update(_beside_tools(call, sending))
    body["max_tokens"] = request.get("max_tokens") or call.offer.max_output
    body["messages"] = _messages(call, sending)


def ignored(call: ProviderCall) -> list[str]:
    """What of a request is not passed on, by its path."""
    left = list(left_out(call, sending_of(call)))
    more = len(left) - MOST_LISTED
    return [*left[:MOST_LISTED], f"and {more} more"] if more > 0 else left


def left_out(call: ProviderCall, sending: Sending) -> Iterator[str]:
    """The same, all of them."""
    left = _chosen(call, sending)[1]
    fixed = _beside_tools(call, sending) if "tools" in call.request else {}
    for name in call.request if fixed else left:
        if fixed and _is_overruled(name, fixed, call, sending):
            yield name
        elif name in left and not (name == "reasoning" and _has_effort(call, sending)):
            yield name
    if options := call.request.get("stream_options"):
        yield from (f"stream_options.{name}" for name, value in options.items() if value and name != "include_usage")
    for name in sending.omit_of_messages:
        messages = enumerate(call.request.get("messages", ()))
        yield from (f"messages[{number}].{name}" for number, message in messages if name in message)
    if beside := call.request.get(extras.KEY):
        yield from extras.left(beside, sending.takes)


def _chosen(call: ProviderCall, sending: Sending) -> Chosen:
    """The fields of the request that go on, and those that something is to be said of.

    The lines of a batch have the same fields, mostly: worked out once for all that have.
    """
    if call.chosen is not None:
        return call.chosen
    request = call.request
    tiers = "service_tier" in request and has_tiers(call)
    fixed = sending.omit, sending.takes, sending.either, tiers
    unasked = request.get(UNASKED, ())
    # A list of what was not asked for may be long, and is a request's own.
    choose = _choose.__wrapped__ if unasked else _choose
    call.chosen = choose(call.type, tuple(request), (*call.offer.omit, *unasked), *fixed, tuple(unasked))
    return call.chosen


@lru_cache(maxsize=1024)
def _choose(
    type: str,
    given: tuple[str, ...],
    left_out: tuple[str, ...],
    omit: frozenset[str],
    takes: frozenset[str],
    either: tuple[str, ...],
    tiers: bool,
    unasked: tuple[str, ...],
) -> Chosen:
    fields, omit = _FIELDS[type], omit.union(left_out)
    taken = _TAKEN & (takes | {"service_tier"} if tiers else takes)
    names = [name for name in given if (name in fields and name not in omit) or name in taken]
    rivals = [name for name in either if name in names][1:]
    sent = tuple(name for name in names if name not in rivals)
    handled = _SILENT.union(sent, unasked)
    return sent, tuple(name for name in given if name not in handled)


def has_tiers(call: ProviderCall) -> bool:
    """Whether the model is sold by service tier: it has a price for one, or had when the job was accepted."""
    model = catalogue().models.get(call.offer.model)
    return bool(call.offer.service_tier) or bool(model and model.service_tiers)


def _add_defaults(body: Body, sending: Sending) -> None:
    """What the catalogue asks for where the caller says nothing, unless it stands against what the caller said."""
    for name, value in sending.defaults.items():
        rivals = sending.either if name in sending.either else ()
        if name not in body and not any(rival in body for rival in rivals):
            body[name] = value


def _beside_tools(call: ProviderCall, sending: Sending) -> Mapping[str, Any]:
    """What the catalogue's row fixes of a request that has tools."""
    return sending.with_tools if call.request.get("tools") else {}


def _is_overruled(name: str, fixed: Mapping[str, Any], call: ProviderCall, sending: Sending) -> bool:
    """Whether a field asks for something else than what is sent beside tools."""
    given = call.request[name]
    if name == "reasoning" and fixed and _has_effort(call, sending):
        name, given = "reasoning_effort", given["effort"]
    return name in fixed and given != fixed[name]


def _effort(body: Body, call: ProviderCall, sending: Sending) -> None:
    """OpenRouter's `reasoning: {"effort": …}` in OpenAI's word."""
    if _has_effort(call, sending):
        body["reasoning_effort"] = call.request["reasoning"]["effort"]


def _has_effort(call: ProviderCall, sending: Sending) -> bool:
    given = call.request.get("reasoning")
    if not given:
        return False
    known = not {"reasoning_effort", "reasoning"} & (sending.omit | sending.takes | set(call.offer.omit))
    return known and "reasoning_effort" not in call.request and isinstance(given.get("effort"), str)


def _messages(call: ProviderCall, sending: Sending) -> list[Body]:
    """The messages with the provider's roles, without fields that it lacks, and with the nulls that were said."""
    messages: list[Body] = call.request["messages"]
    if nulls := call.request.get(NULLS):
        messages = [{**message, "content": None} if at in nulls else message for at, message in enumerate(messages)]
    if sending.roles:
        messages = [_with_role(message, sending.roles) for message in messages]
    if sending.tool_names:
        messages = list(_with_tool_names(messages))
    for name in sending.omit_of_messages:
        messages = [{key: given for key, given in message.items() if key != name} for message in messages]
    return messages


def _with_tool_names(messages: Iterable[Body]) -> Iterator[Body]:
    """The messages of tools with the name of what was called, by the calls that came before."""
    called: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            called[call["id"]] = call["function"]["name"]
        name = called.get(message.get("tool_call_id") or "")
        yield {**message, "name": name} if name and "name" not in message else message


def _with_role(message: Body, roles: Mapping[str, str]) -> Body:
    role = roles.get(message["role"])
    return {**message, "role": role} if role else message

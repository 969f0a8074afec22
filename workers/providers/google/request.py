"""A chat completion's request as the body of generateContent, and what of it is not passed on, which the job lists.

Source: https://ai.google.dev/api/generate-content. Only known fields are sent, and of these only what the caller or the
catalogue asked for; a limit on the answer always is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.submissions import extras
from shared.submissions.schemas import NULLS, UNASKED
from shared.submissions.sending import Sending
from workers.providers import ProviderCall
from workers.providers.google import thinking
from workers.providers.google.contents import GeminiContents
from workers.providers.google.generations import Generation, generation
from workers.providers.google.signatures import NAMES as SIGNATURES
from workers.providers.google.signatures import Signatures
from workers.providers.openai.request import MOST_LISTED, has_tiers, sending_of
from workers.upstream.json_body import encoded

Body = dict[str, Any]

#: Canonical fields that are one field of `generationConfig`.
_CONFIG: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
#: Canonical fields that are written in another way.
_OTHERS: Final = frozenset(
    "messages stop seed tools tool_choice response_format reasoning_effort reasoning thinking service_tier "
    "extra_body".split()
)
#: Those of them that go only to whoever's catalogue row takes them; of a tier it is the price that says so.
_TAKEN: Final = frozenset("top_k thinking extra_body service_tier".split())
#: Fields that are ours or the client's, about which nothing need be said.
_SILENT: Final = frozenset({"max_tokens", "stream", "stream_options", extras.KEY, UNASKED, NULLS})
#: What of `extra_body.google` is passed on; it is Google's own extension of OpenAI's requests.
_THINKING, _SAFETY = "thinking_config", "safety_settings"
_MOST_SEED: Final = 2**31 - 1
#: Gemini's names for service tiers (https://ai.google.dev/gemini-api/docs/flex-inference), where they are others.
_TIERS: Final = {"auto": "standard", "default": "standard"}
_MODES: Final = {"none": "NONE", "auto": "AUTO", "required": "ANY"}


def payload(call: ProviderCall) -> bytes:
    """The body to send."""
    return encoded(composed(call, sending_of(call)))


def composed(call: ProviderCall, sending: Sending) -> Body:
    """The body in Gemini's words."""
    given = chosen(call, sending)
    kind = generation(call.offer.upstream)
    talk = GeminiContents(kind, Signatures(call.request.get(extras.KEY) or {}, sending.takes))
    for at, message in enumerate(given["messages"]):
        talk.add(at, message)
    body: Body = talk.shown()
    body.update(_tools(given))
    google = _google(given)
    if settings := google.get(_SAFETY):
        body["safetySettings"] = settings
    if tier := given.get("service_tier"):
        tier = call.offer.service_tier or tier
        body["serviceTier"] = sending.tiers.get(tier) or _TIERS.get(tier, tier)
    body["generationConfig"] = _config(call, given, google, kind)
    return body


def chosen(call: ProviderCall, sending: Sending) -> Body:
    """The fields that go on, as the request or else the catalogue has them."""
    request = call.request
    names = [name for name in request if _goes(name, call, sending)]
    either = [name for name in sending.either if name in names]
    given = {name: request[name] for name in names if name not in either[1:]}
    for name, value in sending.defaults.items():
        rivals = sending.either if name in sending.either else ()
        if not any(rival in given for rival in rivals):
            given.setdefault(name, value)
    return given


def ignored(call: ProviderCall) -> list[str]:
    """What of a request is not passed on, by its path."""
    left = list(left_out(call, sending_of(call)))
    more = len(left) - MOST_LISTED
    return [*left[:MOST_LISTED], f"and {more} more"] if more > 0 else left


def left_out(call: ProviderCall, sending: Sending) -> Iterator[str]:
    """The paths of everything that is not passed on, however many there are."""
    request, given = call.request, chosen(call, sending)
    yield from (name for name in request if name not in given and name not in _SILENT)
    options = request.get("stream_options") or {}
    yield from (f"stream_options.{name}" for name, value in options.items() if value and name != "include_usage")
    for at, message in enumerate(request["messages"]):
        if message.get("name") and message["role"] != "tool":
            yield f"messages[{at}].name"
    yield from _left_of_extra_body(given.get("extra_body"))
    signs = sending.takes.intersection(SIGNATURES)
    yield from extras.left(request.get(extras.KEY) or {}, signs)


def _goes(name: str, call: ProviderCall, sending: Sending) -> bool:
    if name not in _CONFIG and name not in _OTHERS:
        return False
    if name in sending.omit or name in call.offer.omit:
        return False
    if name == "service_tier" and name not in sending.takes:
        return has_tiers(call)
    return name not in _TAKEN or name in sending.takes


def _config(call: ProviderCall, given: Body, google: Mapping[str, Any], kind: Generation) -> Body:
    """`generationConfig`."""
    config: Body = {"maxOutputTokens": call.request.get("max_tokens") or call.offer.max_output}
    config.update((other, given[name]) for name, other in _CONFIG.items() if name in given)
    if stop := given.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if (seed := given.get("seed")) is not None:
        config["seed"] = seed if abs(seed) <= _MOST_SEED else seed % _MOST_SEED
    config.update(_form(given.get("response_format") or {}))
    thoughts = google.get(_THINKING) or thinking.config(given, call.offer.upstream, kind)
    if thoughts is not None:
        config["thinkingConfig"] = thoughts
    return config


def _form(asked: Mapping[str, Any]) -> Body:
    """The form of the answer: any JSON, or that of a JSON schema, which has the description if it has none."""
    if asked.get("type") not in ("json_object", "json_schema"):
        return {}
    form: Body = {"responseMimeType": "application/json"}
    if schema := asked.get("json_schema"):
        described = {"description": schema["description"]} if schema.get("description") else {}
        form["responseJsonSchema"] = {**described, **schema["schema"]}
    return form


def _tools(given: Mapping[str, Any]) -> Body:
    """The functions, and whether they are to be called."""
    tools = given.get("tools")
    if not tools:
        return {}
    declared = [{"functionDeclarations": [_declared(tool["function"]) for tool in tools]}]
    calling = _calling(given.get("tool_choice"), strict=any(tool["function"].get("strict") for tool in tools))
    return {"tools": declared, **({"toolConfig": {"functionCallingConfig": calling}} if calling else {})}


def _declared(function: Mapping[str, Any]) -> Body:
    declared = {"name": function["name"]}
    if description := function.get("description"):
        declared["description"] = description
    if parameters := function.get("parameters"):
        declared["parametersJsonSchema"] = parameters
    return declared


def _calling(choice: Any, *, strict: bool) -> Body | None:
    """`functionCallingConfig`; VALIDATED is AUTO with arguments that keep to their schemas, as `strict` demands."""
    if isinstance(choice, Mapping):
        return {"mode": "ANY", "allowedFunctionNames": [choice["function"]["name"]]}
    if strict and choice in (None, "auto"):
        return {"mode": "VALIDATED"}
    return {"mode": _MODES[choice]} if choice else None


def _google(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a caller says to Google alone: `extra_body: {"google": {…}}`, in its SDK's or its endpoint's spelling."""
    google = (given.get("extra_body") or {}).get("google")
    return google if isinstance(google, Mapping) else {}


def _left_of_extra_body(given: Any) -> Iterator[str]:
    if not isinstance(given, Mapping):
        return
    yield from (f"extra_body.{name}" for name in given if name != "google")
    known = {_THINKING, _SAFETY}
    yield from (f"extra_body.google.{name}" for name in _google({"extra_body": given}) if name not in known)

"""What stands in a request beside the fields of its shapes: hints, and what SDKs and servers write into messages.

It is taken out before a request is read, kept by its path (`messages[1].cache_control`), and put back where a provider
takes it; the rest is told. Sources: the message types of OpenAI's SDK, and what Azure, Anthropic, Google, DeepSeek,
Groq, OpenRouter, vLLM, llama.cpp and LiteLLM answer with.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin

import orjson

from shared.errors import InvalidRequest
from shared.submissions import messages
from shared.submissions.requests import (
    CalledFunction,
    ChatRequest,
    FunctionTool,
    ImagePart,
    ImageRequest,
    Message,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from shared.submissions.shapes import Shape

#: Where a stored request keeps them: by path, with their value, or None for what no provider is ever sent.
KEY: Final = "extras"
#: Among them: of a request that was sent as OpenAI's Responses API has it, an object of what its response shows and no
#: provider is sent (`shared.dialects.responses.requests`). It is no field of the caller's that was ignored.
RESPONSE: Final = "response"
#: Either name is read, and sent under the one that the provider takes.
REASONING: Final = ("reasoning_content", "reasoning")
#: Characters of an unknown name that are told.
_MOST_NAME: Final = 100

_CACHE: Final[dict[str, Any]] = {"cache_control": dict, "prompt_cache_breakpoint": dict}
_SIGNED: Final[dict[str, Any]] = {"extra_content": dict, "provider_specific_fields": dict, "thought_signature": str}
_PART: Final = {**_CACHE, **_SIGNED}
#: Under which names thoughts stand that their provider has signed, and that no other can read.
_SIGNED_NAMES: Final = frozenset({*_SIGNED, "thinking_blocks", "reasoning_details"})
#: What may be sent on, by the shape in which it stands, with its type.
HINTS: Final[Mapping[type[Shape], Mapping[str, Any]]] = {
    Message: {
        **_CACHE,
        **_SIGNED,
        "reasoning_content": str,
        "reasoning": str,
        "reasoning_details": list,
        "thinking_blocks": list,
        "is_error": bool,
        "prefix": bool,
        "partial": bool,
    },
    TextPart: _PART,
    ImagePart: _PART,
    RefusalPart: _PART,
    ToolCall: {**_CACHE, **_SIGNED},
    CalledFunction: {**_CACHE, **_SIGNED},
    Tool: _CACHE,
    FunctionTool: _CACHE,
}
#: Fields of OpenAI's that are not served; their null says nothing.
_NULL_ONLY: Final[Mapping[type[Shape], frozenset[str]]] = {
    ChatRequest: frozenset({"audio", "function_call", "functions"}),
    ImageRequest: frozenset({"complexity", "frame_count", "frame_duration_ms", "partial_images", "svg"}),
}
_OF_PART: Final = frozenset({"annotations", "citations", "id", "index", "logprobs", "status"})
#: What is never sent: what came with an answer, and means nothing in a turn.
LEFTOVERS: Final[Mapping[type[Shape], frozenset[str]]] = {
    Message: frozenset(
        "annotations audio channel citations content_filter_results context end_turn executed_tools function_call id "
        "images index logprobs matched_stop model_extra object parsed provider reasoning_id reasoning_steps "
        "redacted_thinking search_results status stop_reason thinking token_ids tool_plan usage videos weight".split()
    ),
    TextPart: _OF_PART,
    ImagePart: _OF_PART,
    RefusalPart: _OF_PART,
    ToolCall: frozenset({"index", "status", "caller"}),
    CalledFunction: frozenset({"parsed_arguments", "output", "description"}),
}
_ADAPT: Final[Mapping[type[Shape], Any]] = {Message: messages.message, ToolCall: messages.call}


@dataclass(frozen=True, slots=True)
class _Place:
    """A shape as its values are walked: by field the shapes within, by their `type` where there are several."""

    shape: type[Shape]
    names: frozenset[str]
    within: Mapping[str, Mapping[str, "_Place"]]
    #: Puts other ways to write it as the shape has it.
    adapt: Callable[[dict[str, Any]], dict[str, Any]] | None


def take(
    shape: type[Shape],
    value: dict[str, Any],
    found: dict[str, Any],
    *,
    ignore_unknown: bool,
    within: str = "",
    at: str = "",
) -> dict[str, Any]:
    """A value without what is beside its shapes, which `found` gets by path; the value itself is left as it is.

    `ignore_unknown`: fields that nobody knows are taken out too; otherwise they stay, and are refused when it is read.
    A 400, for what is of a wrong type, prefixes the path by `at`.
    """
    return _Walk(found, ignore_unknown, at).one(_place(shape), value, within)


def taken(extras: Mapping[str, Any], takes: frozenset[str]) -> dict[str, Any]:
    """Those that a provider takes, by the path under which it does."""
    kept: dict[str, Any] = {}
    for path, value in extras.items():
        if value is not None and (name := _name_for(path, takes)):
            kept[path.removesuffix(_last(path)) + name] = value
    return kept


def left(extras: Mapping[str, Any], takes: frozenset[str]) -> Iterator[str]:
    """The paths of those that it does not take."""
    return (
        path
        for path, value in extras.items()
        if value is None or not (_name_for(path, takes) or (path == RESPONSE and isinstance(value, dict)))
    )


def put(body: dict[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a body with these in their places."""
    whole: dict[str, Any] = orjson.loads(orjson.dumps(body))
    for path, value in kept.items():
        *steps, name = [int(step) if step.isdigit() else step for step in _STEPS.findall(path)]
        place: Any = whole
        for step in steps:
            place = place[step]
        place[name] = value
    return whole


def unsigned(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request without the signed thoughts of earlier turns, which are kept as what no provider is sent."""
    given = request.get(KEY) or {}
    return {**request, KEY: {path: None if _last(path) in _SIGNED_NAMES else value for path, value in given.items()}}


def is_signed(request: Mapping[str, Any]) -> bool:
    """Whether a request has any."""
    given = request.get(KEY) or {}
    return any(value is not None and _last(path) in _SIGNED_NAMES for path, value in given.items())


def size(extras: Mapping[str, Any]) -> int:
    """The bytes that they add to a request as JSON."""
    return len(orjson.dumps(extras))


_STEPS: Final = re.compile(r"[^.\[\]]+")


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _name_for(path: str, takes: frozenset[str]) -> str | None:
    """Under which name a provider takes it."""
    name = _last(path)
    if name in REASONING:
        return next((other for other in REASONING if other in takes), None)
    return name if name in takes else None


class _Walk:
    """One request being gone through."""

    def __init__(self, found: dict[str, Any], unknown: bool, prefix: str) -> None:
        self._found = found
        self._unknown = unknown
        self._prefix = prefix

    def one(self, place: _Place, value: dict[str, Any], at: str) -> dict[str, Any]:
        """An object of a place's shape."""
        if place.adapt is not None:
            value = place.adapt(value)
        if not place.names.issuperset(value):
            value = self._known(place, value, at)
        for name in value:
            places = place.within.get(name)
            if places is not None and not isinstance(inner := value[name], str) and inner is not None:
                held = self._any(places, inner, f"{at}.{name}" if at else name)
                if held is not inner:
                    value = {**value, name: held}
        return value

    def _any(self, places: Mapping[str, _Place], value: Any, at: str) -> Any:
        if isinstance(value, list):
            held = [self._any(places, one, f"{at}[{number}]") for number, one in enumerate(value)]
            return held if any(map(_differs, held, value)) else value
        if not isinstance(value, dict):
            return value
        type = value.get("type")
        place = places.get("") or (places.get(type) if isinstance(type, str) else None)
        return self.one(place, value, at) if place else value

    def _known(self, place: _Place, value: dict[str, Any], at: str) -> dict[str, Any]:
        """Without what is not among its fields, which is kept or told."""
        nothing = _NULL_ONLY.get(place.shape, frozenset())
        hints, leftovers = HINTS.get(place.shape, {}), LEFTOVERS.get(place.shape, frozenset())
        kept = {}
        for name, given in value.items():
            path = f"{at}.{name}" if at else name
            if name in place.names:
                kept[name] = given
            elif name in hints:
                self._hint(path, hints[name], given)
            elif name in leftovers:
                self._leftover(path, name, given)
            elif given is None and name in nothing:
                continue
            elif self._unknown:
                self._found[path[: len(path) - len(name) + _MOST_NAME]] = None
            else:
                kept[name] = given
        return kept

    def _hint(self, path: str, kind: type, given: Any) -> None:
        if given is None or given in ({}, [], ""):
            return
        if not isinstance(given, kind):
            raise self._refusal(path, f"must be {_WORDS[kind]}")
        stem = path.removesuffix(_last(path))
        if _last(path) in REASONING and any(self._found.get(stem + other) == given for other in REASONING):
            return  # the same text under its other name
        self._found[path] = given

    def _leftover(self, path: str, name: str, given: Any) -> None:
        if name == "function_call" and given is not None:
            raise self._refusal(path, "is no longer supported; use tool_calls")
        if name != "index" and given is not None and given not in ({}, [], ""):
            self._found[path] = None

    def _refusal(self, path: str, why: str) -> InvalidRequest:
        where = self._prefix + path
        return InvalidRequest(f"{where}: {why}", param=where)


_WORDS: Final = {dict: "an object", str: "a string", list: "an array", bool: "true or false"}


def _differs(one: Any, other: Any) -> bool:
    return one is not other


@cache
def _place(shape: type[Shape]) -> _Place:
    names = frozenset(field.alias or name for name, field in shape.model_fields.items())
    within: dict[str, Mapping[str, _Place]] = {}
    for name, field in shape.model_fields.items():
        if shapes := list(dict.fromkeys(_shapes(field.annotation))):
            within[field.alias or name] = {"": _place(shapes[0])} if len(shapes) == 1 else _by_type(shapes)
    return _Place(shape, names, within, _ADAPT.get(shape))


def _shapes(annotation: Any) -> Iterator[type[Shape]]:
    """The shapes that an annotation names, through lists and unions."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for inner in get_args(annotation):
            yield from _shapes(inner)


def _by_type(shapes: list[type[Shape]]) -> dict[str, _Place]:
    return {word: _place(shape) for shape in shapes for word in get_args(shape.model_fields["type"].annotation)}

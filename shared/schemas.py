"""The canonical words of a job: what is asked (Submission), what came of it (Usage), what may serve it (Offer).

A request's known fields are validated here and nothing else is ever forwarded to a provider. Sources: OpenAI's
chat-completions, embeddings and images reference; the limits are the contract's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import InvalidRequest

JobType = Literal["chat.completion", "embedding", "image"]

MAX_TEXT = 8_000_000
#: One customer's metadata: OpenAI's own limits.
MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE = 16, 64, 512


class Shape(BaseModel):
    """A shape that refuses fields it does not know, naming them."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Shape):
    type: Literal["text"]
    text: str = Field(max_length=MAX_TEXT)


class ImageUrl(Shape):
    url: str = Field(min_length=1, max_length=28_000_000)
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Shape):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class CalledFunction(Shape):
    name: str = Field(min_length=1, max_length=256)
    arguments: str = Field(max_length=MAX_TEXT)


class ToolCall(Shape):
    id: str = Field(min_length=1, max_length=256)
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Shape):
    """One turn; an assistant's may have tool calls and no content."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = Field(default=None, max_length=256)
    tool_calls: list[ToolCall] | None = Field(default=None, min_length=1, max_length=128)
    tool_call_id: str | None = Field(default=None, max_length=256)
    refusal: str | None = Field(default=None, max_length=MAX_TEXT)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not (self.role == "assistant" and (self.tool_calls or self.refusal)):
            raise ValueError("content is missing")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant message has tool_calls")
        return self


class FunctionTool(Shape):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = Field(default=None, max_length=20_000)
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Shape):
    type: Literal["function"]
    function: FunctionTool


class ResponseFormat(Shape):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self


class Routing(Shape):
    """The caller's wishes about who serves: models to fall back on, in order, and a budget."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    fallbacks: list[str] = Field(default_factory=list, max_length=3)
    budget: Literal["economy", "balanced", "quality"] = "balanced"


class StreamOptions(Shape):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Shape):
    """A chat completion. `max_completion_tokens` is read as `max_tokens`; a missing one becomes the model's maximum."""

    messages: list[Message] = Field(min_length=1, max_length=5000)
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int = Field(default=1, ge=1, le=16)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[Tool] | None = Field(default=None, min_length=1, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    user: str | None = Field(default=None, max_length=512)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    #: OpenAI's clients may send these; they are not passed on, and the job lists them as `ignored`.
    logit_bias: dict[str, float] | None = None
    modalities: list[Literal["text"]] | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_key: str | None = Field(default=None, max_length=512)
    reasoning_effort: str | None = Field(default=None, max_length=64)
    safety_identifier: str | None = Field(default=None, max_length=512)
    service_tier: str | None = Field(default=None, max_length=64)
    store: bool | None = None
    verbosity: str | None = Field(default=None, max_length=64)

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.max_completion_tokens is not None:
            self.max_tokens, self.max_completion_tokens = self.max_completion_tokens, None
        return self


class EmbeddingRequest(Shape):
    """Texts, or token arrays, to embed."""

    input: (
        Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=2048)]
        | Annotated[list[int], Field(min_length=1, max_length=100_000)]
        | Annotated[list[Annotated[list[int], Field(min_length=1)]], Field(min_length=1, max_length=2048)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, le=8192)
    user: str | None = Field(default=None, max_length=512)


class ImageRequest(Shape):
    """Pictures to draw."""

    prompt: str = Field(min_length=1, max_length=32_000)
    size: str = Field(default="1024x1024", pattern=r"^\d{2,5}x\d{2,5}$")
    n: int = Field(default=1, ge=1, le=10)
    response_format: Literal["url", "b64_json"] = "url"
    user: str | None = Field(default=None, max_length=512)
    #: Not passed on, as above.
    background: str | None = Field(default=None, max_length=64)
    moderation: str | None = Field(default=None, max_length=64)
    quality: str | None = Field(default=None, max_length=64)
    style: str | None = Field(default=None, max_length=64)


REQUESTS: Mapping[JobType, type[Shape]] = {
    "chat.completion": ChatRequest,
    "embedding": EmbeddingRequest,
    "image": ImageRequest,
}


_NO_ROUTING = Routing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One job as asked for, whatever the dialect: `request` holds known, validated fields only."""

    type: JobType
    model: str
    request: dict[str, Any]
    routing: Routing = _NO_ROUTING
    labels: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to serve a job, with its price and bound, fixed at acceptance."""

    provider: str
    model: str
    upstream: str
    input: int
    output: int
    images: Mapping[str, int] = field(default_factory=dict)
    version: str
    max_output: int = 0
    omit: Sequence[str] = ()
    bound_micros: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider says it used, in canonical terms."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    size: str = ""
    #: Counted here, because the provider did not say.
    estimated: bool = False


def read_submission(type: JobType, body: Mapping[str, Any], *, at: str = "") -> Submission:
    """Validate one request body of a type; a 400 names the field, prefixed by `at` (`jobs[3].`)."""
    fields = dict(body)
    try:
        model = fields.pop("model", None)
        if not isinstance(model, str) or not model:
            raise InvalidRequest(f"{at}model is required and must be a string", param=f"{at}model")
        labels = read_labels(fields.pop("metadata", None), at)
        routing = _routing(fields.pop("routing", None), at)
        request = REQUESTS[type].model_validate(fields)
    except ValidationError as error:
        raise invalid(error, at) from None
    known = request.model_dump(exclude_none=True)
    return Submission(type=type, model=model, request=known, routing=routing, labels=labels)


def invalid(error: ValidationError, at: str = "") -> InvalidRequest:
    """The 400 of a validation error: a wrong size, else the deepest place that is wrong, as the caller would write it.

    A value of a union fails once for each branch; a wrong size is the branch that was meant.
    """
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    first = max(errors, key=lambda e: (e["type"] in _SIZES, len(_path(e["loc"]))))
    path = at + _path(first["loc"], named=first["type"] == "extra_forbidden")
    message = "unknown field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"{path.rstrip('.') or 'the body'}: {message}", param=path.rstrip(".") or None)


def text_bytes(request: Mapping[str, Any]) -> int:
    """UTF-8 bytes of a request without its image data; an upper bound of the tokens of its text."""
    return len(orjson.dumps(request)) - sum(len(url) for url in image_urls(request))


def image_urls(request: Mapping[str, Any]) -> list[str]:
    """The image parts' addresses (or data) in a chat request."""
    contents = [m["content"] for m in request.get("messages", ()) if isinstance(m.get("content"), list)]
    return [part["image_url"]["url"] for content in contents for part in content if part["type"] == "image_url"]


def _routing(value: Any, at: str) -> Routing:
    if value is None:
        return _NO_ROUTING
    try:
        return Routing.model_validate(value)
    except ValidationError as error:
        raise invalid(error, f"{at}routing.") from None


def read_labels(value: Any, at: str = "") -> dict[str, str] | None:
    """The customer's `metadata`: OpenAI's limits; a 400 names the key."""
    if value is None:
        return None
    where = f"{at}metadata"
    if not isinstance(value, dict) or len(value) > MAX_LABELS:
        raise InvalidRequest(f"{where} must be an object of at most {MAX_LABELS} keys", param=where)
    for key, text in value.items():
        if len(key) > MAX_LABEL_KEY or not isinstance(text, str) or len(text) > MAX_LABEL_VALUE:
            raise InvalidRequest(
                f"{where}.{key[:MAX_LABEL_KEY]}: keys have at most {MAX_LABEL_KEY} characters, "
                f"values are strings of at most {MAX_LABEL_VALUE}",
                param=where,
            )
    return value


#: Steps of a location that name a branch of a union, not a field.
_BRANCHES = frozenset({"str", "int", "dict"})
_PART_TAGS = frozenset({"text", "image_url"})
_SIZES = frozenset({"too_short", "too_long", "string_too_short", "string_too_long"})
#: Characters of an unknown field's name that are given back.
_MOST_NAME = 100


def _path(loc: tuple[int | str, ...], *, named: bool = False) -> str:
    """`('messages', 2, 'content', 'list[…]', 0, 'text', 'text')` → `messages[2].content[0].text`.

    `named`: the last step is a name that the caller made up, whatever it looks like.
    """
    if named:
        return f"{_path(loc[:-1])}.{str(loc[-1])[:_MOST_NAME]}".removeprefix(".")
    path, before = "", ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.isidentifier() and step not in _BRANCHES and not (before == "[" and step in _PART_TAGS):
            path += f".{step}" if path else step
        before = "[" if isinstance(step, int) else ""
    return path

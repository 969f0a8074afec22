"""What may be asked of a model, field by field: chat completions, embeddings, images.

A field that is not here is refused, so nothing unknown is ever handed to a provider; what may stand beside them, and
is taken out before, is in `extras`. Sources: OpenAI's reference of the three calls; the limits are the
contract's. A `null` is read as OpenAI reads it: the field is not there. No defaults but those a price depends on.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from shared.submissions import image_inputs
from shared.submissions.shapes import NullIsAbsent, Shape

MAX_TEXT = 8_000_000
#: The size of a picture of which none is said, or `auto`: what it costs is known beforehand.
USUAL_SIZE = "1024x1024"
_NAME = r"^[a-zA-Z0-9_-]{1,64}$"


class Request(NullIsAbsent):
    """The fields of one type of job, beside its model."""


class TextPart(Shape):
    """A text part. The types `input_text` and `output_text` are accepted as aliases."""

    type: Literal["text"]
    text: str = Field(max_length=MAX_TEXT)


class ImageUrl(Shape):
    url: Annotated[str, Field(min_length=1), AfterValidator(image_inputs.checked)]
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Shape):
    """An image: an https URL or base64 data.

    `input_image` (the URL in `image_url`) and `image` (with a base64 `source`) are accepted as aliases.
    """

    type: Literal["image_url"]
    image_url: ImageUrl


class RefusalPart(Shape):
    """A refusal in an earlier assistant message."""

    type: Literal["refusal"]
    refusal: str = Field(max_length=MAX_TEXT)


Part = Annotated[TextPart | ImagePart | RefusalPart, Field(discriminator="type")]


class CalledFunction(Shape):
    name: str = Field(min_length=1, max_length=256)
    arguments: str = Field(max_length=MAX_TEXT)


class ToolCall(Shape):
    id: str = Field(min_length=1, max_length=256)
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Shape):
    """A message. The content of an assistant message may be null if it has tool calls."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(min_length=1, fail_fast=True)] | None = None
    name: str | None = Field(default=None, max_length=256)
    tool_calls: list[ToolCall] | None = Field(default=None, min_length=1, max_length=128, fail_fast=True)
    tool_call_id: str | None = Field(default=None, max_length=256)
    refusal: str | None = Field(default=None, max_length=MAX_TEXT)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not (self.role == "assistant" and (self.tool_calls or self.refusal)):
            raise ValueError("content is missing")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("tool_call_id is required in a tool message")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls is only allowed in an assistant message")
        return self


class FunctionTool(Shape):
    name: str = Field(pattern=_NAME)
    description: str | None = Field(default=None, max_length=20_000)
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Shape):
    type: Literal["function"]
    function: FunctionTool


class ChosenFunction(Shape):
    name: str = Field(pattern=_NAME)


class NamedToolChoice(Shape):
    """The tool that the model must call."""

    type: Literal["function"]
    function: ChosenFunction


class JsonSchema(Shape):
    """The JSON schema that the response must match."""

    name: str = Field(pattern=_NAME)
    description: str | None = Field(default=None, max_length=20_000)
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Shape):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self


class StreamOptions(Shape):
    """Options of a stream. Only `include_usage` has an effect; other options are accepted and ignored."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: bool | None = None
    chunk_include_usage: bool | None = None


class Prediction(Shape):
    """Predicted output. Predicted tokens that are not part of the response are charged like output tokens."""

    type: Literal["content"]
    content: str | Annotated[list[TextPart], Field(min_length=1, fail_fast=True)]


_GROUNDING: Final = (
    "The model may search the web before it answers. A search is charged as 4,000 tokens of input, once, and only if "
    "something was found. A 400 if the server has no web search, or the model takes no tools."
)
_Word = Annotated[str, Field(max_length=64)]
_Bias = Annotated[int | float, Field(ge=-100, le=100)]
_Options = Annotated[dict[str, Any], Field(max_length=64)]
_Identifier = Annotated[str, Field(max_length=512)]


class ChatRequest(Request):
    """A chat completion. `max_completion_tokens` is an alias of `max_tokens`. Default: the maximum of the model."""

    messages: list[Message] = Field(min_length=1, max_length=5000, fail_fast=True)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=None, ge=1, le=128)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[Tool] | None = Field(default=None, min_length=1, max_length=128, fail_fast=True)
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    user: str | None = Field(default=None, max_length=512)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, _Bias] | None = Field(default=None, max_length=1024)
    prediction: Prediction | None = None
    reasoning_effort: _Word | None = None
    verbosity: _Word | None = None
    web_search_options: _Options | None = None
    grounding: bool | None = Field(default=None, description=_GROUNDING)
    service_tier: _Word | None = None
    moderation: _Options | None = None
    prompt_cache_key: _Identifier | None = None
    prompt_cache_options: _Options | None = None
    prompt_cache_retention: _Word | None = None
    safety_identifier: _Identifier | None = None
    #: What is asked for anyway: every answer is a text.
    modalities: list[Literal["text"]] | None = Field(default=None, max_length=4, exclude=True)
    #: For providers whose catalogue row says that they take them; of others the job lists them as `ignored`.
    store: bool | None = None
    cache_control: _Options | None = None
    top_k: int | None = Field(default=None, ge=-1, le=2**31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    thinking: _Options | None = None
    reasoning: _Options | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: _Options | None = None
    extra_body: _Options | None = None

    @field_validator("top_logprobs")
    @classmethod
    def _with_logprobs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if not info.data.get("logprobs", "logprobs" not in info.data):
            raise ValueError("requires logprobs: true")
        return value

    @field_validator("grounding")
    @classmethod
    def _is_wanted(cls, value: bool | None) -> bool | None:
        return value or None

    @field_validator("tool_choice", "parallel_tool_calls")
    @classmethod
    def _with_tools(cls, value: Any, info: ValidationInfo) -> Any:
        if "tools" in info.data and not info.data["tools"]:
            raise ValueError("is only allowed if tools is given")
        names = [tool.function.name for tool in info.data.get("tools", ())]
        if names and isinstance(value, NamedToolChoice) and value.function.name not in names:
            raise ValueError("names a function that is not in tools")
        return value

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.max_completion_tokens is not None:
            self.max_tokens, self.max_completion_tokens = self.max_completion_tokens, None
        return self


_Text = Annotated[str, Field(min_length=1)]
_Token = Annotated[int, Field(ge=0)]
_Tokens = Annotated[list[_Token], Field(min_length=1, max_length=100_000, fail_fast=True)]


class EmbeddingRequest(Request):
    """Texts or token arrays to embed."""

    input: (
        Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
        | Annotated[list[_Text], Field(min_length=1, max_length=2048, fail_fast=True)]
        | _Tokens
        | Annotated[list[_Tokens], Field(min_length=1, max_length=2048, fail_fast=True)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1, le=8192)
    user: str | None = Field(default=None, max_length=512)


class ImageRequest(Request):
    """Images to generate."""

    prompt: str = Field(min_length=1, max_length=32_000)
    size: str = Field(default=USUAL_SIZE, pattern=r"^(auto|[0-9]{2,5}x[0-9]{2,5})$")
    n: int = Field(default=1, ge=1, le=10)
    response_format: Literal["url", "b64_json"] = "url"
    user: str | None = Field(default=None, max_length=512)
    #: Pictures are not streamed; to say so is no fault.
    stream: bool | None = Field(default=None, exclude=True)
    background: _Word | None = None
    moderation: _Word | None = None
    output_compression: int | None = Field(default=None, ge=0, le=100)
    output_format: Literal["png", "jpeg", "webp"] | None = None
    quality: _Word | None = None
    safety_identifier: _Identifier | None = None
    style: _Word | None = None

    @field_validator("stream")
    @classmethod
    def _is_whole(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("images cannot be streamed")
        return value

    @field_validator("size")
    @classmethod
    def _is_fixed(cls, value: str) -> str:
        return USUAL_SIZE if value == "auto" else value

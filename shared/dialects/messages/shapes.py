"""What a Messages request may have in it, field by field.

Source: platform.claude.com/docs/en/api/messages/create; the types of its official Python SDK (anthropic-sdk-python,
src/anthropic/types); what coding agents send beside them (github.com/anthropics/claude-code/issues/21612). A field that
is not here is refused, but for those of the native API that no field here has the name of.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shared.submissions.requests import MAX_TEXT
from shared.submissions.selection import ModelSelection
from shared.submissions.shapes import NullIsAbsent, Shape

_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_Object = dict[str, Any]


class CacheControl(NullIsAbsent):
    """Cache the prompt up to here, where the provider does that."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    scope: str | None = Field(default=None, max_length=64)


class TextBlock(NullIsAbsent):
    """A text."""

    type: Literal["text"]
    text: _Text
    cache_control: CacheControl | None = None
    citations: list[Any] | None = None


class Base64Source(Shape):
    """Data in base64."""

    type: Literal["base64"]
    media_type: str = Field(max_length=100)
    data: str


class UrlSource(Shape):
    """An https URL."""

    type: Literal["url"]
    url: str = Field(min_length=1)


class ImageBlock(NullIsAbsent):
    """An image: base64 data or an https URL."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]
    cache_control: CacheControl | None = None
    transformations: _Object | None = None


class TextSource(Shape):
    """A document of plain text."""

    type: Literal["text"]
    media_type: Literal["text/plain"] = "text/plain"
    data: _Text


class ContentSource(Shape):
    """A document made of texts and images."""

    type: Literal["content"]
    content: _Text | Annotated[list[TextBlock | ImageBlock], Field(fail_fast=True)]


class DocumentBlock(NullIsAbsent):
    """A document of plain text, or of texts and images. Others (PDF, uploaded files) are not supported."""

    type: Literal["document"]
    source: Annotated[TextSource | ContentSource, Field(discriminator="type")]
    title: str | None = Field(default=None, max_length=1000)
    context: _Text | None = None
    citations: _Object | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(NullIsAbsent):
    """What the caller's own search found."""

    type: Literal["search_result"]
    source: _Text
    title: _Text
    content: Annotated[list[TextBlock], Field(fail_fast=True)]
    citations: _Object | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Shape):
    """Thoughts of an earlier answer, with their signature, which may be empty."""

    type: Literal["thinking"]
    thinking: _Text
    signature: str


class RedactedThinkingBlock(Shape):
    """Encrypted thoughts of an earlier answer."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(NullIsAbsent):
    """A call of a tool in an earlier answer."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1, max_length=256)
    name: str = Field(min_length=1, max_length=256)
    input: _Object
    cache_control: CacheControl | None = None
    caller: _Object | None = None
    toolset_name: None = None


ResultPart = Annotated[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock, Field(discriminator="type")]


class ToolResultBlock(NullIsAbsent):
    """What came of a call of a tool."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1, max_length=256)
    content: str | Annotated[list[ResultPart], Field(fail_fast=True)] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
    toolset_name: None = None


Block = Annotated[
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock,
    Field(discriminator="type"),
]


class Turn(Shape):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: _Text | Annotated[list[Block], Field(fail_fast=True)]


class ToolSpec(NullIsAbsent):
    """A tool that the caller runs. Tools that run at the provider are not supported."""

    type: Literal["custom"] | None = None
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = Field(default=None, max_length=20_000)
    input_schema: _Object
    strict: bool | None = None
    cache_control: CacheControl | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[_Object] | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None


class ToolChoice(NullIsAbsent):
    """Whether a tool is to be called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(default=None, max_length=64)
    disable_parallel_tool_use: bool | None = None


class Thinking(NullIsAbsent):
    """Whether the model thinks before it answers, and how much."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = Field(default=None, ge=1024)
    display: Literal["summarized", "omitted", "updates"] | None = None
    block_binding: _Object | None = None

    @model_validator(mode="after")
    def _budgeted(self) -> Self:
        if self.type == "enabled" and self.budget_tokens is None:
            raise ValueError("budget_tokens is required if type is enabled")
        if self.type != "enabled" and self.budget_tokens is not None:
            raise ValueError("budget_tokens is only allowed if type is enabled")
        return self


class OutputFormat(NullIsAbsent):
    """The JSON schema that the answer must match."""

    type: Literal["json_schema"]
    schema_: _Object = Field(alias="schema")
    name: str | None = None


class OutputConfig(NullIsAbsent):
    """How much effort the model makes, and in what form it answers."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None
    task_budget: _Object | None = None


class CountedRequest(NullIsAbsent):
    """What is asked for: the part of a request that its tokens are counted of."""

    model: Annotated[str, Field(min_length=1)] | ModelSelection = Field(
        description="A model id from GET /v1/models, of any provider, or how to select one."
    )
    messages: list[Turn] = Field(min_length=1, max_length=5000, fail_fast=True)
    system: _Text | Annotated[list[TextBlock], Field(fail_fast=True)] | None = None
    tools: list[ToolSpec] | None = Field(default=None, max_length=128, fail_fast=True)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    cache_control: CacheControl | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    context_management: _Object | None = None
    speed: Literal["standard", "fast"] | None = None
    user_profile_id: str | None = Field(default=None, max_length=256)


class MessageRequest(CountedRequest):
    """A message: `max_tokens`, `messages` and `model` are required. The model can be one of any provider."""

    max_tokens: int = Field(ge=1)
    metadata: _Object | None = Field(
        default=None, description="`user_id`, an opaque id of the end user; beside it your own labels of the job."
    )
    stop_sequences: list[str] | None = Field(default=None, max_length=4)
    stream: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0, le=2**31)
    top_p: float | None = Field(default=None, ge=0, le=1)
    service_tier: Literal["auto", "standard_only"] | None = None
    thread: _Object | None = Field(default=None, description="Not supported: each request has the whole conversation.")
    diagnostics: _Object | None = None
    inference_geo: str | None = Field(default=None, max_length=64)


class CountRequest(CountedRequest):
    """What the tokens are counted of: a message's fields but those of its answer."""

"""The results of jobs: chat completions and their chunks, embeddings, images. Workers make and store them. Pure."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.objects.fields import Count, Credits, Time
from shared.usage_shown import CompletionDetails, PromptDetails


class Tokens(TypedDict):
    """What a chat completion or an embedding used and cost; `test`: made with a test key, which costs nothing.

    `estimated`: counted here, because the provider did not tell.
    """

    prompt_tokens: Count
    completion_tokens: NotRequired[Count]
    total_tokens: Count
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]
    credits_used: Credits
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class WantedFunction(TypedDict):
    """`arguments` is JSON; of an answer that was cut (`finish_reason` length or content_filter) maybe a part of it."""

    name: str
    arguments: str


class WantedCall(TypedDict):
    """A call that the model wants made."""

    id: str
    type: Literal["function"]
    function: WantedFunction


class Reply(TypedDict):
    """The model's message."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: NotRequired[
        Annotated[str, Field(description="The model's thoughts, where its provider gives them.")]
    ]
    tool_calls: NotRequired[list[WantedCall]]


class Choice(TypedDict):
    """One of the `n` answers."""

    index: int
    message: Reply
    logprobs: dict[str, Any] | None
    finish_reason: str


class ChatCompletion(TypedDict):
    """OpenAI's chat completion object."""

    id: str
    object: Literal["chat.completion"]
    created: Time
    model: str
    choices: list[Choice]
    usage: Tokens


class ChunkChoice(TypedDict):
    """What is new of one of the answers; `finish_reason` stands in its last chunk."""

    index: int
    delta: Annotated[
        dict[str, Any],
        Field(description="`role`, `reasoning_content`, `content`, `refusal`, or pieces of `tool_calls`."),
    ]
    logprobs: NotRequired[dict[str, Any] | None]
    finish_reason: str | None


class ChatCompletionChunk(TypedDict):
    """The data of an event of a stream; with `stream_options.include_usage` the last one has `usage` and no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Time
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Tokens | None]


class Embedding(TypedDict):
    """A vector: numbers, or with `encoding_format: base64` the base64 of little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(TypedDict):
    """One embedding for each input, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Tokens


class Picture(TypedDict):
    """A signed link that needs no key and holds for 24 hours, or the picture itself as base64."""

    url: NotRequired[str]
    b64_json: NotRequired[str]
    revised_prompt: NotRequired[str]


class ImageUsage(TypedDict):
    """What the pictures cost."""

    credits_used: Credits
    test: NotRequired[Literal[True]]


class Images(TypedDict):
    """The pictures of a request."""

    created: Time
    data: list[Picture]
    usage: ImageUsage


Result = ChatCompletion | Embeddings | Images

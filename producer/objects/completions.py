"""The results of jobs: chat completions and their chunks, embeddings, images. Workers make and store them. Pure."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.objects.fields import Count, Credits, Time
from shared.submissions.usage_shown import CompletionDetails, PromptDetails


class Tokens(TypedDict):
    """Usage and cost of a chat completion or an embedding. `test`: made with a test key and not charged.

    `estimated`: the tokens were counted by FusionAI, because the provider did not report them.
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
    """`arguments` is JSON, which may be incomplete if `finish_reason` is `length` or `content_filter`."""

    name: str
    arguments: str


_Beside = Annotated[
    dict[str, Any],
    Field(description="What the provider wants back with this in later requests, such as `google.thought_signature`."),
]


class WantedCall(TypedDict):
    """A function call requested by the model."""

    id: str
    type: Literal["function"]
    function: WantedFunction
    extra_content: NotRequired[_Beside]


class CitedUrl(TypedDict):
    """A page that a web search found, and the characters of the answer that it is for: all of them."""

    start_index: Count
    end_index: Count
    url: str
    title: str


class Citation(TypedDict):
    """What an answer with `grounding` is based on."""

    type: Literal["url_citation"]
    url_citation: CitedUrl


class _Address(TypedDict):
    url: str


class MadeImage(TypedDict):
    """An image that the model made, as a `data:` URL, and the prompt that it was made from."""

    type: Literal["image_url"]
    image_url: _Address
    revised_prompt: str


class Reply(TypedDict):
    """The model's message."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: NotRequired[
        Annotated[str, Field(description="The reasoning of the model, if its provider returns it.")]
    ]
    thinking_blocks: NotRequired[
        Annotated[
            list[dict[str, Any]],
            Field(
                description="The reasoning as Anthropic signed it: `thinking` with its `signature`, or "
                "`redacted_thinking`. To go on with tool calls, give them back in the assistant message."
            ),
        ]
    ]
    tool_calls: NotRequired[list[WantedCall]]
    annotations: NotRequired[list[Citation]]
    images: NotRequired[list[MadeImage]]
    extra_content: NotRequired[_Beside]


_StopSequence = Annotated[str, Field(description="The one of `stop` at which it ended, if the provider says that.")]
_NativeReason = Annotated[
    Literal["model_context_window_exceeded"],
    Field(description="The provider's own word for why it ended, where it says more than `finish_reason`."),
]


class Choice(TypedDict):
    """One of the `n` completions."""

    index: int
    message: Reply
    logprobs: dict[str, Any] | None
    finish_reason: Annotated[
        str | None, Field(description="Null only in the partial result of a job that ended before its answer.")
    ]
    stop_sequence: NotRequired[_StopSequence]
    native_finish_reason: NotRequired[_NativeReason]


Cached = Annotated[
    Literal[True],
    Field(description="From the cache: an earlier answer, with its `id` and `created`; `credits_used` is this one's."),
]


class UsageDetails(TypedDict):
    """What the tokens of several calls were of, as charged: text, images by their pixels, web searches."""

    text_prompt_tokens: Count
    text_completion_tokens: Count
    input_image_tokens: NotRequired[Count]
    output_image_tokens: NotRequired[Count]
    grounding_tokens: NotRequired[Count]


class ChatCompletion(TypedDict):
    """OpenAI's chat completion object."""

    id: str
    object: Literal["chat.completion"]
    created: Time
    model: str
    choices: list[Choice]
    usage: Tokens
    usage_details: NotRequired[UsageDetails]
    cached: NotRequired[Cached]


class ChunkChoice(TypedDict):
    """The new part of one of the completions. Its last chunk has the `finish_reason`."""

    index: int
    delta: Annotated[
        dict[str, Any],
        Field(
            description="`role`, `reasoning_content`, `content`, `refusal`, pieces of `tool_calls`, or with the "
            "`finish_reason` `thinking_blocks`, `images` and `extra_content`. After reasoning that Anthropic signed, "
            "its `reasoning_signature`, or `reasoning_redacted`, which `thinking_blocks` has as well."
        ),
    ]
    logprobs: NotRequired[dict[str, Any] | None]
    finish_reason: str | None
    stop_sequence: NotRequired[_StopSequence]
    native_finish_reason: NotRequired[_NativeReason]


class ChatCompletionChunk(TypedDict):
    """The data of a stream event. With `stream_options.include_usage`, the last chunk has `usage` and no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Time
    model: str
    choices: list[ChunkChoice]
    cached: NotRequired[Cached]
    usage: NotRequired[Tokens | None]
    usage_details: NotRequired[UsageDetails]


class Embedding(TypedDict):
    """A vector: numbers or, with `encoding_format: base64`, little-endian 32-bit floats in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(TypedDict):
    """One embedding per input, in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Tokens


class Picture(TypedDict):
    """A signed link, valid for 24 hours without an API key, or the image itself in base64."""

    url: NotRequired[str]
    b64_json: NotRequired[str]
    revised_prompt: NotRequired[str]


class ImageUsage(TypedDict):
    """The cost of the images."""

    credits_used: Credits
    test: NotRequired[Literal[True]]


class Images(TypedDict):
    """The generated images."""

    created: Time
    data: list[Picture]
    usage: ImageUsage


Result = ChatCompletion | Embeddings | Images

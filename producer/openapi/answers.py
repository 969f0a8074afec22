"""The objects that the API answers with, as its document describes them; a field with a default may be absent.

Tests hold them against real answers, with no field beside those that stand here.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from shared.submissions.job_types import JobType

T = TypeVar("T")

Time = Annotated[int, Field(description="Unix time in seconds.")]
Credits = Annotated[float, Field(description="Credits, exact, with at most six decimals.")]
Count = Annotated[int, Field(ge=0)]
Labels = dict[str, str]


class List(BaseModel, Generic[T]):
    """A page of a list. If `has_more` is true, request the next page with `after=last_id`."""

    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobError(BaseModel):
    """Why a job failed. `code` is the HTTP status that a synchronous call returned or would have returned."""

    message: str
    type: str
    code: int
    reason: str = ""
    param: str = ""


class PromptDetails(BaseModel):
    """Breakdown of the prompt tokens: cache reads, cache writes, audio. A field is absent if the number is unknown."""

    cached_tokens: Count = 0
    cache_creation_tokens: Count = 0
    audio_tokens: Count = 0


class CompletionDetails(BaseModel):
    """Breakdown of the completion tokens: reasoning, audio. A field is absent if the number is unknown."""

    reasoning_tokens: Count = 0
    audio_tokens: Count = 0


class Tokens(BaseModel):
    """Usage and cost of a chat completion or an embedding. `test`: made with a test key and not charged.

    `estimated`: the tokens were counted by FusionAI, because the provider did not report them.
    """

    prompt_tokens: Count
    completion_tokens: Count = 0
    total_tokens: Count
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails = CompletionDetails()
    credits_used: Credits
    test: Literal[True] = True
    estimated: Literal[True] = True


class WantedFunction(BaseModel):
    """`arguments` is JSON, which may be incomplete if `finish_reason` is `length` or `content_filter`."""

    name: str
    arguments: str


class WantedCall(BaseModel):
    """A function call requested by the model."""

    id: str
    type: Literal["function"]
    function: WantedFunction


class Reply(BaseModel):
    """The model's message."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: Annotated[str, Field(description="The reasoning of the model, if its provider returns it.")] = ""
    tool_calls: list[WantedCall] = []


class Choice(BaseModel):
    """One of the `n` completions."""

    index: int
    message: Reply
    logprobs: dict[str, Any] | None
    finish_reason: str


class ChatCompletion(BaseModel):
    """OpenAI's chat completion object."""

    id: str
    object: Literal["chat.completion"]
    created: Time
    model: str
    choices: list[Choice]
    usage: Tokens


class ChunkChoice(BaseModel):
    """The new part of one of the completions. Its last chunk has the `finish_reason`."""

    index: int
    delta: Annotated[
        dict[str, Any],
        Field(description="`role`, `reasoning_content`, `content`, `refusal`, or pieces of `tool_calls`."),
    ]
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None


class ChatCompletionChunk(BaseModel):
    """The data of a stream event. With `stream_options.include_usage`, the last chunk has `usage` and no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Time
    model: str
    choices: list[ChunkChoice]
    usage: Tokens | None = None


class StreamFault(BaseModel):
    """Why a stream was interrupted. The message says whether the job continues and how to get the rest.

    `last_event_id`: the Last-Event-ID with which GET /v1/jobs/{job_id}/stream returns the rest, if it can.
    """

    message: str
    type: str
    code: int
    request_id: str
    job_id: str
    last_event_id: str = ""


class StreamError(BaseModel):
    """The data of the last event of an interrupted stream."""

    error: StreamFault


class Embedding(BaseModel):
    """A vector: numbers or, with `encoding_format: base64`, little-endian 32-bit floats in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    """One embedding per input, in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Tokens


class Picture(BaseModel):
    """A signed link, valid for 24 hours without an API key, or the image itself in base64."""

    url: str = ""
    b64_json: str = ""
    revised_prompt: str = ""


class ImageUsage(BaseModel):
    """The cost of the images."""

    credits_used: Credits
    test: Literal[True] = True


class Images(BaseModel):
    """The generated images."""

    created: Time
    data: list[Picture]
    usage: ImageUsage


class ServedBy(BaseModel):
    """The provider that served the job, and the model id from the catalog."""

    provider: str
    model: str


class Attempt(BaseModel):
    """One call to a provider. `error` is the error code or message, null if the call succeeded.

    `provider` is null if the worker was lost before it recorded the call.
    """

    provider: str | None
    model: str
    started_at: Time
    finished_at: Time | None
    status_code: int | None
    error: str | None


class JobUsage(BaseModel):
    """Usage and cost of a finished job."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails = CompletionDetails()
    credits_used: Credits
    images: Count = 0
    test: Literal[True] = True
    estimated: Literal[True] = True


class Job(BaseModel):
    """A job. `result` is the response body of the synchronous call."""

    id: str
    object: Literal["job"]
    type: JobType
    status: Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
    model: Annotated[str, Field(description="The requested model; `served_by` names the model that served the job.")]
    served_by: ServedBy | None
    batch_id: str | None
    custom_id: str | None
    attempts: list[Attempt]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Annotated[int, Field(description="When the job expires if it has not finished; Unix time in seconds.")]
    metadata: Labels
    result: ChatCompletion | Embeddings | Images | None
    error: JobError | None
    usage: JobUsage | None
    ignored: Annotated[
        list[str], Field(description="Parameters that were dropped because the provider does not support them.")
    ]
    cancel_requested: bool


class Jobs(BaseModel):
    """Jobs accepted together, in the order of the request."""

    object: Literal["list"]
    data: list[Job]

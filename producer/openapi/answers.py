"""The objects that the API answers with, as its document describes them; a field with a default may be absent.

Tests hold them against real answers, with no field beside those that stand here.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from shared.submissions.schemas import JobType

T = TypeVar("T")

Time = Annotated[int, Field(description="Unix time, in seconds.")]
Credits = Annotated[float, Field(description="Credits: exact, with at most six decimals.")]
Count = Annotated[int, Field(ge=0)]
Labels = dict[str, str]


class List(BaseModel, Generic[T]):
    """A page of a list; while `has_more`, `after=last_id` asks for the next one."""

    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobError(BaseModel):
    """Why a job failed; `code` is the HTTP status that a call which waited for it was answered with."""

    message: str
    type: str
    code: int
    reason: str = ""
    param: str = ""


class PromptDetails(BaseModel):
    """Parts of the prompt tokens: read from the provider's cache, written into it, sound. Absent: not known."""

    cached_tokens: Count = 0
    cache_creation_tokens: Count = 0
    audio_tokens: Count = 0


class CompletionDetails(BaseModel):
    """Parts of the completion tokens: thoughts, sound. Absent: not known."""

    reasoning_tokens: Count = 0
    audio_tokens: Count = 0


class Tokens(BaseModel):
    """What a chat completion or an embedding used and cost; `test`: made with a test key, which costs nothing.

    `estimated`: counted here, because the provider did not tell.
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
    """`arguments` is JSON; of an answer that was cut (`finish_reason` length or content_filter) maybe a part of it."""

    name: str
    arguments: str


class WantedCall(BaseModel):
    """A call that the model wants made."""

    id: str
    type: Literal["function"]
    function: WantedFunction


class Reply(BaseModel):
    """The model's message."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: Annotated[str, Field(description="The model's thoughts, where its provider gives them.")] = ""
    tool_calls: list[WantedCall] = []


class Choice(BaseModel):
    """One of the `n` answers."""

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
    """What is new of one of the answers; `finish_reason` stands in its last chunk."""

    index: int
    delta: Annotated[
        dict[str, Any],
        Field(description="`role`, `reasoning_content`, `content`, `refusal`, or pieces of `tool_calls`."),
    ]
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None


class ChatCompletionChunk(BaseModel):
    """The data of an event of a stream; with `stream_options.include_usage` the last one has `usage` and no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Time
    model: str
    choices: list[ChunkChoice]
    usage: Tokens | None = None


class StreamFault(BaseModel):
    """What broke off a stream; the message says whether the job goes on, and how to have the rest.

    `last_event_id`: for Last-Event-ID at GET /v1/jobs/{job_id}/stream, where that gives the rest.
    """

    message: str
    type: str
    code: int
    request_id: str
    job_id: str
    last_event_id: str = ""


class StreamError(BaseModel):
    """The data of the last event of a stream that broke off."""

    error: StreamFault


class Embedding(BaseModel):
    """A vector: numbers, or with `encoding_format: base64` the base64 of little-endian 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    """One embedding for each input, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Tokens


class Picture(BaseModel):
    """A signed link that needs no key and holds for 24 hours, or the picture itself as base64."""

    url: str = ""
    b64_json: str = ""
    revised_prompt: str = ""


class ImageUsage(BaseModel):
    """What the pictures cost."""

    credits_used: Credits
    test: Literal[True] = True


class Images(BaseModel):
    """The pictures of a request."""

    created: Time
    data: list[Picture]
    usage: ImageUsage


class ServedBy(BaseModel):
    """Who served a job: the provider, and the catalogue's id of the model."""

    provider: str
    model: str


class Attempt(BaseModel):
    """One call of a provider; `error` is its code or message, null for the one that went well.

    `provider` is null where the worker was lost, and with it what it had called.
    """

    provider: str | None
    model: str
    started_at: Time
    finished_at: Time | None
    status_code: int | None
    error: str | None


class JobUsage(BaseModel):
    """What an ended job used and was charged."""

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
    """A job; `result` is the body that the synchronous call answers with."""

    id: str
    object: Literal["job"]
    type: JobType
    status: Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
    model: Annotated[str, Field(description="The model that was asked for; `served_by` has the one that served.")]
    served_by: ServedBy | None
    batch_id: str | None
    custom_id: str | None
    attempts: list[Attempt]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Annotated[int, Field(description="When it ends `expired` unless it is done; Unix time, in seconds.")]
    metadata: Labels
    result: ChatCompletion | Embeddings | Images | None
    error: JobError | None
    usage: JobUsage | None
    ignored: Annotated[list[str], Field(description="Parameters that the provider lacks, and which were dropped.")]
    cancel_requested: bool


class Jobs(BaseModel):
    """Jobs accepted together, in the order in which they were sent."""

    object: Literal["list"]
    data: list[Job]

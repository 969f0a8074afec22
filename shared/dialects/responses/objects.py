"""The objects of OpenAI's Responses API. Source: the types of openai-python, `openai.types.responses`."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from shared.objects.fields import Count, Credits, Labels, Time

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class OutputText(TypedDict):
    """What the model wrote."""

    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, Any]]
    logprobs: list[dict[str, Any]]


class OutputRefusal(TypedDict):
    """Why the model refused."""

    type: Literal["refusal"]
    refusal: str


class OutputMessage(TypedDict):
    """The model's message."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText | OutputRefusal]


class FunctionCall(TypedDict):
    """A call that the model wants. `call_id` is what its `function_call_output` names."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class ReasoningPart(TypedDict):
    """A text of the model's reasoning."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(TypedDict):
    """The model's reasoning: in `summary` if a summary was asked for, else in `content`."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[ReasoningPart]
    content: NotRequired[list[ReasoningPart]]
    #: Opaque, to be sent back with the item; with `include: ["reasoning.encrypted_content"]`.
    encrypted_content: NotRequired[str]


class ImageCall(TypedDict):
    """A picture that was made: `result` is its bytes in base64."""

    id: str
    type: Literal["image_generation_call"]
    status: ItemStatus
    result: str | None


OutputItem = OutputMessage | FunctionCall | ReasoningItem | ImageCall


class InputDetails(TypedDict):
    """Parts of the input tokens; 0 also where the provider does not say, since this format has no other word for it."""

    cached_tokens: Count
    cache_write_tokens: Count


class OutputDetails(TypedDict):
    """Parts of the output tokens; 0 also where the provider does not say."""

    reasoning_tokens: Count


class ResponseUsage(TypedDict):
    """Tokens, and what they cost."""

    input_tokens: Count
    input_tokens_details: InputDetails
    output_tokens: Count
    output_tokens_details: OutputDetails
    total_tokens: Count
    credits_used: Credits
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class ResponseError(TypedDict):
    """Why a response failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class Incomplete(TypedDict):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ReasoningShown(TypedDict):
    """What was asked of the reasoning."""

    effort: str | None
    summary: str | None


class Response(TypedDict):
    """A response: one call of a model, which is a job; `resp_X` is the job `job_X`."""

    id: str
    object: Literal["response"]
    created_at: Time
    completed_at: Time | None
    status: Status
    background: bool
    error: ResponseError | None
    incomplete_details: Incomplete | None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: ReasoningShown
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None
    user: str | None
    metadata: Labels


class InputText(TypedDict):
    """A text that the model was given."""

    type: Literal["input_text"]
    text: str


class InputImage(TypedDict):
    """An image that the model was given."""

    type: Literal["input_image"]
    image_url: str
    detail: str


InputPart = InputText | InputImage | OutputText | OutputRefusal


class InputMessage(TypedDict):
    """A message that the model was given."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["system", "developer", "user", "assistant"]
    content: list[InputPart]


class FunctionOutput(TypedDict):
    """What a function answered."""

    id: str
    type: Literal["function_call_output"]
    status: ItemStatus
    call_id: str
    output: str | list[InputPart]


InputItem = InputMessage | FunctionCall | FunctionOutput | ReasoningItem


class ResponseItems(TypedDict):
    """A page of the items that a response was made from."""

    object: Literal["list"]
    data: list[InputItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(TypedDict):
    """An estimate of the tokens of the input."""

    object: Literal["response.input_tokens"]
    input_tokens: Count


class DeletedResponse(TypedDict):
    """A response that cannot be retrieved any more."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]

"""The objects of the API, as the plain client gives them. Written by `python -m deploy.client_objects`."""

from typing import Any, Generic, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict

T = TypeVar("T")

#: The statuses in which a job, and a batch, stays.
TERMINAL = frozenset({"cancelled", "expired", "failed", "succeeded"})
BATCH_OVER = frozenset({"cancelled", "completed", "expired", "failed"})
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]


class List(TypedDict, Generic[T]):
    """A page of a list. If `has_more` is true, request the next page with `after=last_id`."""

    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ServedBy(TypedDict):
    """The provider that served the job, and the model id from the catalogue."""

    provider: str
    model: str


class Attempt(TypedDict):
    """One call to a provider. `error` is the error code or message, null if the call succeeded.

    `provider` is null if the worker was lost before it recorded the call.
    """

    provider: str | None
    model: str
    started_at: int
    finished_at: int | None
    status_code: int | None
    error: str | None


class WantedFunction(TypedDict):
    """`arguments` is JSON, which may be incomplete if `finish_reason` is `length` or `content_filter`."""

    name: str
    arguments: str


class WantedCall(TypedDict):
    """A function call requested by the model."""

    id: str
    type: Literal["function"]
    function: WantedFunction
    extra_content: NotRequired[dict[str, Any]]


class CitedUrl(TypedDict):
    """A page that a web search found, and the characters of the answer that it is for: all of them."""

    start_index: int
    end_index: int
    url: str
    title: str


class Citation(TypedDict):
    """What an answer with `grounding` is based on."""

    type: Literal["url_citation"]
    url_citation: CitedUrl


class Address(TypedDict):
    url: str


class MadeImage(TypedDict):
    """An image that the model made, as a `data:` URL, and the prompt that it was made from."""

    type: Literal["image_url"]
    image_url: Address
    revised_prompt: str


class Reply(TypedDict):
    """The model's message."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: NotRequired[str]
    thinking_blocks: NotRequired[list[dict[str, Any]]]
    tool_calls: NotRequired[list[WantedCall]]
    annotations: NotRequired[list[Citation]]
    images: NotRequired[list[MadeImage]]
    extra_content: NotRequired[dict[str, Any]]


class Choice(TypedDict):
    """One of the `n` completions."""

    index: int
    message: Reply
    logprobs: dict[str, Any] | None
    finish_reason: str | None
    stop_sequence: NotRequired[str]
    native_finish_reason: NotRequired[Literal["model_context_window_exceeded"]]


class PromptDetails(TypedDict):
    """Breakdown of the prompt tokens: cache reads and writes, audio. A field is absent if the number is unknown."""

    cached_tokens: NotRequired[int]
    cache_creation_tokens: NotRequired[int]
    cache_creation_1h_tokens: NotRequired[int]
    audio_tokens: NotRequired[int]


class CompletionDetails(TypedDict):
    """Breakdown of the completion tokens: reasoning, audio. A field is absent if the number is unknown."""

    reasoning_tokens: NotRequired[int]
    audio_tokens: NotRequired[int]


class Tokens(TypedDict):
    """Usage and cost of a chat completion or an embedding. `test`: made with a test key and not charged.

    `estimated`: the tokens were counted by FusionAI, because the provider did not report them.
    """

    prompt_tokens: int
    completion_tokens: NotRequired[int]
    total_tokens: int
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]
    credits_used: float
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class UsageDetails(TypedDict):
    """What the tokens of several calls were of, as charged: text, images by their pixels, web searches."""

    text_prompt_tokens: int
    text_completion_tokens: int
    input_image_tokens: NotRequired[int]
    output_image_tokens: NotRequired[int]
    grounding_tokens: NotRequired[int]


class ChatCompletion(TypedDict):
    """OpenAI's chat completion object."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Tokens
    usage_details: NotRequired[UsageDetails]
    cached: NotRequired[Literal[True]]


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

    credits_used: float
    test: NotRequired[Literal[True]]


class Images(TypedDict):
    """The generated images."""

    created: int
    data: list[Picture]
    usage: ImageUsage


class JobError(TypedDict):
    """Why a job failed. `code` is the HTTP status that a synchronous call returned or would have returned."""

    message: str
    type: str
    code: int
    reason: NotRequired[str]
    param: NotRequired[str]


class JobUsage(TypedDict):
    """Usage and cost of a finished job."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]
    credits_used: float
    images: NotRequired[int]
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class ChargeLine(TypedDict):
    """So many of one thing at one price, or a correction (`rounding`, `maximum`), which has neither."""

    item: Literal[
        "input",
        "cached_input",
        "cache_write",
        "cache_write_1h",
        "output",
        "reasoning",
        "images",
        "request",
        "rounding",
        "maximum",
        "other",
    ]
    step: NotRequired[str]
    description: str
    count: NotRequired[int]
    price: NotRequired[int]
    per: NotRequired[int]
    credits: str


class Hold(TypedDict):
    """What was set aside for the job, or for it within its batch's hold, and how much of that was released."""

    credits: float
    released: float
    of_batch: bool


class Charge(TypedDict):
    """How the charge came about. The credits of the lines add up to `credits` exactly."""

    service_tier: str | None
    price_version: str | None
    long_context: bool
    reason: Literal["test_key", "nothing_used", "cached"] | None
    lines: list[ChargeLine]
    credits: float
    hold: Hold
    attempt: int | None
    estimated: bool
    cached: bool
    refunded: float


class HoldLine(TypedDict):
    """So many of one thing at most, at the dearest price that may apply; or `rounding`, or `other`, without a price."""

    item: Literal["input", "overhead", "pictures", "search", "output", "images", "request", "rounding", "other"]
    call: NotRequired[int]
    description: str
    count: NotRequired[int]
    price: NotRequired[int]
    per: NotRequired[int]
    rate: NotRequired[str]
    credits: str


class JobHold(TypedDict):
    """What a job may cost at most, which is set aside for it. The credits of the lines add up to `credits` exactly."""

    credits: float
    state: Literal["held", "waiting", "ended"]
    of_batch: bool
    reason: str
    provider: str | None
    model: str | None
    service_tier: str | None
    price_version: str | None
    lines: list[HoldLine]


class RoutingCandidate(TypedDict):
    """A model that may serve the job."""

    provider: str
    model: str
    expected_credits: str | None


class NextBest(TypedDict):
    """The first of the other candidates."""

    provider: str
    model: str
    expected_credits: str | None
    credits: float | None


class JobRouting(TypedDict):
    """The candidates of a job, in the order in which they are tried, and why they are in it."""

    reason: str
    budget: Literal["economy", "balanced", "quality"] | None
    weights: dict[str, float] | None
    candidates: list[RoutingCandidate]
    next_best: NextBest | None


class Linked(TypedDict):
    """An entity that a chat was linked to."""

    type: str
    id: str


class Job(TypedDict):
    """A job. `result` is the response body of the synchronous call."""

    refunded: NotRequired[float]
    id: str
    object: Literal["job"]
    type: Literal["chat.completion", "embedding", "image"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
    model: str
    served_by: ServedBy | None
    batch_id: str | None
    custom_id: str | None
    attempts: list[Attempt]
    created_at: int
    started_at: int | None
    finished_at: int | None
    expires_at: int
    metadata: dict[str, str]
    result: ChatCompletion | Embeddings | Images | None
    error: JobError | None
    cached: NotRequired[Literal[True]]
    usage: JobUsage | None
    charge: Charge | None
    hold: NotRequired[JobHold | None]
    routing: JobRouting | None
    ignored: list[str]
    cancel_requested: bool
    waiting_for: NotRequired[Literal["credits"]]
    linked_context: NotRequired[list[Linked]]
    callback_url: NotRequired[str]


class Jobs(TypedDict):
    """Jobs accepted together, in the order of the request."""

    object: Literal["list"]
    data: list[Job]


class JobInput(TypedDict):
    """What a job asked, as it can be sent again."""

    object: Literal["job.input"]
    job_id: str
    type: Literal["chat.completion", "embedding", "image"]
    key_id: str
    key_name: str | None
    url: str
    body: dict[str, Any]


class JobCount(TypedDict):
    """How many jobs match the filters."""

    object: Literal["jobs.count"]
    count: int
    exact: bool


class BatchesUnderWay(TypedDict):
    """How many batches are not over, and how many of them wait before their next lines start."""

    unfinished: int
    waiting_for_credits: int
    waiting_for_budget: int


class JobSummary(TypedDict):
    """How the jobs of the key's mode (live or test) stand."""

    object: Literal["jobs.summary"]
    queued: JobCount
    running: JobCount
    succeeded: JobCount
    failed: JobCount
    succeeded_since: int
    failed_since: int
    oldest_queued_at: int | None
    batches: BatchesUnderWay


class JobsCancelled(TypedDict):
    """What a call that cancels by a filter did. If `has_more` is true, call again with `after=last_id`."""

    object: Literal["jobs.cancellation"]
    dry_run: bool
    matched: int
    cancelled: int
    cancelling: int
    has_more: bool
    last_id: str | None


class BudgetFields(TypedDict):
    """A budget of an API key as it stands; `renews_at` is null for one that never does."""

    period: Literal["day", "month", "total"]
    credits: float
    used_credits: float
    held_credits: float
    renews_at: int | None


class Shortage(TypedDict):
    """How many credits are missing. The balance covers `max_tokens` per line, or the first `fitting_jobs` lines.

    `fits_in_slices`: each line could be held for alone, so that the batch would run with `hold: slices`.
    """

    max_tokens: NotRequired[int]
    jobs: NotRequired[int]
    fitting_jobs: NotRequired[int]
    fits_in_slices: NotRequired[bool]
    required_credits: float
    available_credits: float
    held_credits: float
    held_by_jobs: NotRequired[int]
    budget: NotRequired[BudgetFields]
    message: str


class BasedOn(TypedDict):
    """The account's jobs of the same models that an estimate is based on, and the days on which there were any."""

    jobs: int
    days: int


class Estimate(TypedDict):
    """Credits: at most `bound`, which is what is held; `likely`, given the length of earlier answers of the account."""

    bound: float
    likely: float
    based_on: BasedOn


class JobsDryRun(TypedDict):
    """What jobs would cost; nothing was created."""

    credits_available: float | None
    shortage: Shortage | None
    estimate: NotRequired[Estimate]
    object: Literal["job.dry_run"]
    jobs: int
    credits_worst_case: float


class Fault(TypedDict):
    """An error in the lines of a batch; `line` starts at 1. Credit fields tell what is lacking."""

    code: str
    line: int | None
    message: str
    param: str | None
    required_credits: NotRequired[float]
    available_credits: NotRequired[float]
    held_credits: NotRequired[float]
    held_by_jobs: NotRequired[int]
    max_tokens: NotRequired[int]
    jobs: NotRequired[int]
    fitting_jobs: NotRequired[int]
    fits_in_slices: NotRequired[bool]
    budget: NotRequired[BudgetFields]


class Faults(TypedDict):
    """The first hundred errors in the lines of a batch."""

    object: Literal["list"]
    data: list[Fault]


class RequestCounts(TypedDict):
    """Number of lines of a batch; `failed` counts every finished line that did not succeed."""

    total: int
    completed: int
    failed: int


class BatchUsage(TypedDict):
    """The tokens of a batch so far. Details are sums of what providers reported, absent if none did.

    `estimated`: the tokens of some lines were counted by FusionAI, because the provider did not report them.
    """

    input_tokens: int
    input_tokens_details: NotRequired[PromptDetails]
    output_tokens: int
    output_tokens_details: NotRequired[CompletionDetails]
    total_tokens: int
    estimated: NotRequired[Literal[True]]


class Batch(TypedDict):
    """OpenAI's batch object, with additional fields: credits, invoice, `notify_each`, `priority`, `retry_of`."""

    id: str
    object: Literal["batch"]
    endpoint: str | None
    model: str | None
    errors: Faults | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    usage: BatchUsage | None
    credits_used: float
    credits_held: float
    invoice_id: str | None
    notify_each: bool
    priority: int
    retry_of: str | None
    hold: Literal["all", "slices"]
    waiting_for: Literal["credits", "budget"] | None
    waiting_until: int | None
    callback_url: str | None


class ProviderProgress(TypedDict):
    """Lines of one provider. `waiting_for`: why most waiting lines wait; `until`: when the first of them is retried."""

    provider: str
    total: int
    completed: int
    failed: int
    running: int
    waiting: int
    waiting_for: str | None
    until: int | None


class Reason(TypedDict):
    """A reason for which `count` lines failed, with the first message. POST /batches/{id}/retry accepts `reason`."""

    reason: str
    status_code: int | None
    model: str | None
    count: int
    message: str


class BatchProgress(TypedDict):
    """The progress of a batch, at most one second old. `providers` counts the lines that have become jobs."""

    object: Literal["batch.progress"]
    batch_id: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    request_counts: RequestCounts
    providers: list[ProviderProgress]
    reasons: list[Reason]
    credits_used: float
    waiting_for: Literal["credits", "budget"] | None
    waiting_until: int | None
    created_at: int
    finished_at: int | None


class BatchErrorExample(TypedDict):
    """The first line of a group of errors."""

    job_id: str
    custom_id: str | None
    model: str | None


class BatchErrorGroup(TypedDict):
    """Lines of a batch that did not succeed for the same reason, with the message of the first of them."""

    reason: str
    status_code: int | None
    message: str
    count: int
    example: BatchErrorExample | None
    retry_may_help: bool


class BatchErrors(TypedDict):
    """Why lines of a batch did not succeed, the largest group first."""

    object: Literal["batch.errors"]
    batch_id: str
    total: int
    data: list[BatchErrorGroup]
    others: int


class LineResponse(TypedDict):
    """`request_id` is the job's id; `body` is what the synchronous call would have answered."""

    status_code: int
    request_id: str
    body: dict[str, Any]


class LineError(TypedDict):
    """Why a line was never answered."""

    code: str
    message: str


class LineRequest(TypedDict):
    """What a line asked, so that it can be sent again."""

    method: str
    url: str
    body: dict[str, Any]


class BatchResult(TypedDict):
    """A line of an output or an error file: a response, or an error of a line that was never answered.

    A line of the error file has what it asked; null: that is kept no longer.
    """

    id: str
    custom_id: str | None
    response: LineResponse | None
    error: LineError | None
    request: NotRequired[LineRequest | None]


class DryRun(TypedDict):
    """What a batch would contain and its maximum cost; nothing was created."""

    object: Literal["batch.dry_run"]
    valid: bool
    errors: Faults | None
    endpoint: str | None
    model: str | None
    request_counts: RequestCounts
    credits_worst_case: float
    credits_available: float | None
    shortage: Shortage | None
    estimate: NotRequired[Estimate]


class File(TypedDict):
    """OpenAI's file object."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]
    status_details: str | None


class DeletedFile(TypedDict):
    """A deleted file."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class Spent(TypedDict):
    """Credits spent in a calendar month (UTC), and on its current day."""

    period: str
    credits: float
    today: float


class Threshold(TypedDict):
    """When `credit.threshold` is sent: at a number of credits remaining, or spent in the calendar month (UTC)."""

    kind: Literal["remaining", "spent"]
    credits: float


class Expiring(TypedDict):
    """Credits that expire at `expires_at` if they are unspent by then; those that expire first are spent first."""

    credits: float
    expires_at: int


class Balance(TypedDict):
    """`available` credits can be spent, `held` are reserved for unfinished jobs, `remaining` is the sum of both."""

    object: Literal["credits"]
    available: float
    held: float
    remaining: float
    spent: Spent
    thresholds: list[Threshold]
    expiring: list[Expiring]


class CreditDay(TypedDict):
    """A day, UTC: what remained at its end, what came in on it (less what expired or was taken), and what was spent."""

    date: str
    remaining: float
    added: float
    spent: float


class CreditHistory(TypedDict):
    """The days of a period, the oldest first."""

    object: Literal["credit_history"]
    data: list[CreditDay]


class Thresholds(TypedDict):
    """The account's thresholds."""

    object: Literal["thresholds"]
    thresholds: list[Threshold]


class Subject(TypedDict):
    """The object that a transfer belongs to."""

    type: str
    id: str


_Transfer = TypedDict("_Transfer", {"from": str})


class Transfer(_Transfer):
    """One transfer of credits."""

    id: str
    object: Literal["transfer"]
    kind: Literal["grant", "hold", "charge", "release", "refund", "adjust", "expire"]
    to: str
    credits: float
    subject: Subject
    created_at: int


class AutoTopUp(TypedDict):
    """What is bought when fewer than `threshold` credits are available.

    `status`: `active`; `limited`, by the `monthly_limit`; `stopped`, after a payment that failed (`reason`); or `off`.
    """

    object: Literal["auto_top_up"]
    enabled: bool
    threshold: float | None
    credits: float | None
    monthly_limit: float | None
    bought_this_month: float
    status: Literal["active", "limited", "stopped", "off"]
    reason: str | None


class UsageRow(TypedDict):
    """Usage and cost of one job."""

    id: str
    object: Literal["usage"]
    created_at: int
    job_id: str
    batch_id: str | None
    key_id: str
    type: Literal["chat.completion", "embedding", "image"]
    model: str
    provider: str | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]
    images: int
    credits_used: float
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


_Days = TypedDict("_Days", {"from": str})


class Days(_Days):
    """A range of whole days in UTC, both inclusive."""

    to: str
    timezone: Literal["UTC"]


class ModelCredits(TypedDict):
    """Credits spent on a model."""

    model: str
    credits: float


class UsageReport(TypedDict):
    """The totals of a whole period, and a page of its rows."""

    object: Literal["list"]
    data: list[UsageRow]
    first_id: str | None
    last_id: str | None
    has_more: bool
    period: Days
    credits_used: float
    top_models: list[ModelCredits]


class UsageGroup(TypedDict):
    """The sums of a group of jobs, with what they have in common: the dimensions of `group_by`.

    Null is what is not known, or a label that they do not have.
    """

    id: str
    object: Literal["usage.group"]
    model: NotRequired[str]
    key_id: NotRequired[str | None]
    key_name: NotRequired[str | None]
    day: NotRequired[str]
    metadata: NotRequired[dict[str, str | None]]
    jobs: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    images: int
    credits_used: float


class UsageGroups(TypedDict):
    """The total of a whole period, and a page of its groups.

    `unattributed_credits`: part of the total, of jobs whose metadata is not kept any more.
    """

    object: Literal["list"]
    data: list[UsageGroup]
    first_id: str | None
    last_id: str | None
    has_more: bool
    period: Days
    group_by: list[str]
    credits_used: float
    unattributed_credits: float


class UsagePoint(TypedDict):
    """What was used in an interval. Jobs count in the interval in which they ended."""

    start: int
    jobs: int
    credits: float
    prompt_tokens: int
    completion_tokens: int
    failed: NotRequired[int]
    accepted: NotRequired[int]


class UsageSeries(TypedDict):
    """Usage over time, a point for each interval, the oldest first, in UTC."""

    object: Literal["usage.series"]
    interval: Literal["minute", "hour", "day"]
    since: int
    until: int
    complete_since: int
    data: list[UsagePoint]


class Webhook(TypedDict):
    """An endpoint that receives events."""

    id: str
    object: Literal["webhook"]
    url: str
    description: str | None
    events: list[str]
    status: Literal["enabled", "disabled"]
    failing_since: int | None
    disabled_reason: str | None
    created_at: int


class NewSecret(TypedDict):
    """A webhook with its secret, which is returned only once."""

    id: str
    object: Literal["webhook"]
    url: str
    description: str | None
    events: list[str]
    status: Literal["enabled", "disabled"]
    failing_since: int | None
    disabled_reason: str | None
    created_at: int
    secret: str


class DeletedWebhook(TypedDict):
    """A deleted webhook."""

    id: str
    object: Literal["webhook"]
    deleted: Literal[True]


class DeliveryAttempt(TypedDict):
    """One attempt to deliver: when it ended, how long it took, and what came of it.

    `response` is the beginning of what the receiver answered, without what looks like a secret; `location` is where it
    redirects to.
    """

    at: int
    latency_ms: int
    status_code: int | None
    error: str | None
    response: str | None
    location: str | None


class Delivery(TypedDict):
    """The delivery of an event to a webhook, or to the `callback_url` of a job or batch."""

    id: str
    object: Literal["webhook.delivery"]
    event_id: str
    event_type: str | None
    webhook_id: str | None
    callback_url: str | None
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    last_status_code: int | None
    last_error: str | None
    next_attempt_at: int | None
    delivered_at: int | None
    log: list[DeliveryAttempt]


class CallbackSecret(TypedDict):
    """The secret that signs deliveries to the `callback_url` of jobs and batches: one each for live and test keys.

    `valid`: how many sign at present; those before a rotation do for a day.
    """

    id: str
    object: Literal["webhook_secret"]
    created_at: int
    valid: int


class NewCallbackSecret(TypedDict):
    """The secret, which is returned only once."""

    id: str
    object: Literal["webhook_secret"]
    created_at: int
    valid: int
    secret: str


class Redelivery(TypedDict):
    """What a call of POST /webhooks/{id}/redeliver came to.

    `last_id` is the last event that was looked at. If `has_more` is true, call again with it as `after`.
    """

    object: Literal["webhook.redelivery"]
    webhook_id: str
    redelivered: int
    has_more: bool
    last_id: str | None


class Event(TypedDict):
    """An event. `data` has ids, status, counts and the URL of the full object.

    `sequence` numbers the events of the account, separately for live and test keys (`test: true`).
    """

    id: str
    object: Literal["event"]
    type: str
    created_at: int
    sequence: int
    data: dict[str, Any]
    test: NotRequired[Literal[True]]


class EventType(TypedDict):
    """A type of events: when one is sent, and an example of its whole body."""

    id: str
    object: Literal["event_type"]
    description: str
    example: Event


class InvoiceLine(TypedDict):
    """What one amount of an invoice is for; that of a refund is negative. `model`: of the usage of one model."""

    kind: Literal["usage", "purchase", "refund", "adjustment"]
    description: str
    model: str | None
    jobs: int
    prompt_tokens: int
    completion_tokens: int
    images: int
    credits: float


class Price(TypedDict):
    """An amount of money."""

    amount: int
    currency: str


class Invoice(TypedDict):
    """The statement of a batch or month, already paid from the balance, or a purchase of credits.

    A purchase has the fields from `description` on as well. `checkout_url`: where it is paid, while it is open and such
    a page exists; `how_to_pay`: how, in words. `payment_error`: why the last attempt to pay failed.
    """

    id: str
    object: Literal["invoice"]
    number: int
    kind: Literal["statement", "purchase"]
    status: Literal["open", "paid", "void", "expired"]
    batch_id: str | None
    period: str | None
    credits: float
    lines: list[InvoiceLine]
    total: float
    created_at: int
    paid_at: int | None
    description: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]
    price: NotRequired[Price | None]
    checkout_url: NotRequired[str | None]
    how_to_pay: NotRequired[str | None]
    expires_at: NotRequired[int | None]
    auto_top_up: NotRequired[bool]
    payment_error: NotRequired[str | None]
    refunded: NotRequired[Price | None]


class InvoiceLinks(TypedDict):
    """Links to the document of an invoice that open in a browser without a key, until they expire."""

    object: Literal["invoice.links"]
    html: str
    pdf: str
    expires_at: int


class ModelHealth(TypedDict):
    """How a model has served of late, by recent calls of all customers."""

    status: Literal["ok", "degraded", "paused", "unknown"]
    error_rate: float | None
    first_seconds: float | None
    total_seconds: float | None


class LongContextPrice(TypedDict):
    """The prices of a whole request with more than `above` input tokens."""

    input: NotRequired[int]
    output: NotRequired[int]
    cached_input: NotRequired[int]
    cache_write: NotRequired[int]
    cache_write_1h: NotRequired[int]
    reasoning: NotRequired[int]
    above: int


class TierPrice(TypedDict):
    """The prices of a service tier; `images` and `request`, if absent, are the model's."""

    input: NotRequired[int]
    output: NotRequired[int]
    cached_input: NotRequired[int]
    cache_write: NotRequired[int]
    cache_write_1h: NotRequired[int]
    reasoning: NotRequired[int]
    images: NotRequired[dict[str, int]]
    request: NotRequired[int]
    long_context: NotRequired[LongContextPrice]


_PriceChange = TypedDict("_PriceChange", {"from": str})


class PriceChange(_PriceChange):
    """All prices of the model from a day on."""

    input: NotRequired[int]
    output: NotRequired[int]
    cached_input: NotRequired[int]
    cache_write: NotRequired[int]
    cache_write_1h: NotRequired[int]
    reasoning: NotRequired[int]
    images: NotRequired[dict[str, int]]
    request: NotRequired[int]
    long_context: NotRequired[LongContextPrice]
    service_tiers: NotRequired[dict[str, TierPrice]]


class ModelPrice(TypedDict):
    """Integers, in `unit`: for input and output tokens, or for an image of a size (or of a quality and size)."""

    input: NotRequired[int]
    output: NotRequired[int]
    cached_input: NotRequired[int]
    cache_write: NotRequired[int]
    cache_write_1h: NotRequired[int]
    reasoning: NotRequired[int]
    images: NotRequired[dict[str, int]]
    request: NotRequired[int]
    long_context: NotRequired[LongContextPrice]
    unit: str
    service_tiers: NotRequired[dict[str, TierPrice]]
    cached_answer: NotRequired[int]
    qualities: NotRequired[list[str]]
    changes: NotRequired[list[PriceChange]]
    version: str


class Model(TypedDict):
    """A model."""

    default_max_tokens: NotRequired[int]
    fallbacks: NotRequired[list[str]]
    health: NotRequired[ModelHealth]
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    provider: str
    type: Literal["chat.completion", "embedding", "image"]
    purpose: str
    max_output_tokens: int | None
    context_tokens: int | None
    capabilities: list[Literal["vision", "tools", "json_schema", "reasoning"]] | None
    price: ModelPrice

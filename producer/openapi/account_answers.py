"""The rest of the objects that the API answers with: webhooks and events, credit, models, usage, invoices, probes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from producer.openapi.answers import CompletionDetails, Count, Credits, List, PromptDetails, Time
from shared.submissions.job_types import JobType


class Webhook(BaseModel):
    """An endpoint that receives events."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[str]
    status: Literal["enabled", "disabled"]
    created_at: Time


class NewSecret(Webhook):
    """A webhook with its secret, which is returned only once."""

    secret: Annotated[str, Field(pattern="^whsec_")]


class DeletedWebhook(BaseModel):
    """A deleted webhook."""

    id: str
    object: Literal["webhook"]
    deleted: Literal[True]


class Delivery(BaseModel):
    """The delivery of an event to a webhook."""

    id: str
    object: Literal["webhook.delivery"]
    event_id: str
    status: Literal["pending", "delivered", "failed"]
    attempts: Count
    last_status_code: int | None
    last_error: str | None
    next_attempt_at: Time | None
    delivered_at: Time | None


class Event(BaseModel):
    """An event. `data` has ids, status, counts and the URL of the full object.

    `sequence` numbers the events of the account, separately for live and test keys (`test: true`).
    """

    id: str
    object: Literal["event"]
    type: str
    created_at: Time
    sequence: Count
    data: dict[str, Any]
    test: Literal[True] = True


class Threshold(BaseModel):
    """When `credit.threshold` is sent: at a number of credits remaining, or spent in the calendar month (UTC)."""

    kind: Literal["remaining", "spent"]
    credits: Credits


class Thresholds(BaseModel):
    """The account's thresholds."""

    object: Literal["thresholds"]
    thresholds: list[Threshold]


class Spent(BaseModel):
    """Credits spent in a calendar month (UTC)."""

    period: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    credits: Credits


class Balance(BaseModel):
    """`available` credits can be spent, `held` are reserved for unfinished jobs, `remaining` is the sum of both."""

    object: Literal["credits"]
    available: Credits
    held: Credits
    remaining: Credits
    spent: Spent
    thresholds: list[Threshold]


class Subject(BaseModel):
    """The object that a transfer belongs to."""

    type: str
    id: str


class Transfer(BaseModel):
    """One transfer of credits."""

    id: str
    object: Literal["transfer"]
    kind: Literal["grant", "hold", "charge", "release", "refund", "adjust"]
    from_: Annotated[str, Field(alias="from")]
    to: str
    credits: Credits
    subject: Subject
    created_at: Time


class TierPrice(BaseModel):
    """The prices of input and output tokens in a service tier."""

    input: Count
    output: Count


class Price(BaseModel):
    """Integers, in `unit`: for input and output tokens, or for an image of a size (or of a quality and size).

    `cached_input`, `cache_write`: for input read from or written to the provider's cache; if absent, as `input`.
    """

    unit: str
    version: str
    input: Count = 0
    output: Count = 0
    cached_input: Count = 0
    cache_write: Count = 0
    service_tiers: dict[str, TierPrice] = {}
    images: dict[str, int] = {}
    qualities: Annotated[list[str], Field(description="Qualities with the same price as the size.")] = []


class Model(BaseModel):
    """A model."""

    id: str
    object: Literal["model"]
    created: Time
    owned_by: str
    provider: str
    type: JobType
    purpose: str
    max_output_tokens: int | None
    price: Price


class Days(BaseModel):
    """A range of whole days in UTC, both inclusive."""

    from_: Annotated[str, Field(alias="from", json_schema_extra={"format": "date"})]
    to: Annotated[str, Field(json_schema_extra={"format": "date"})]
    timezone: Literal["UTC"]


class ModelCredits(BaseModel):
    """Credits spent on a model."""

    model: str
    credits: Credits


class UsageRow(BaseModel):
    """Usage and cost of one job."""

    id: str
    object: Literal["usage"]
    created_at: Time
    job_id: str
    batch_id: str | None
    key_id: str
    type: JobType
    model: str
    provider: str | None
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails = CompletionDetails()
    images: Count
    credits_used: Credits
    test: Literal[True] = True
    estimated: Literal[True] = True


class Usage(List[UsageRow]):
    """The totals of a whole period, and a page of its rows."""

    period: Days
    credits_used: Credits
    top_models: list[ModelCredits]


class InvoiceLine(BaseModel):
    """The usage of one model in a batch."""

    model: str
    jobs: Count
    prompt_tokens: Count
    completion_tokens: Count
    images: Count
    credits: Credits


class Invoice(BaseModel):
    """The statement of a batch, already paid from the balance, or a purchase of credits."""

    id: str
    object: Literal["invoice"]
    number: int
    kind: Literal["statement", "purchase"]
    status: str
    batch_id: str | None
    credits: Credits
    lines: list[InvoiceLine]
    total: Credits
    created_at: Time
    paid_at: Time | None


class Healthy(BaseModel):
    """The process is running."""

    status: Literal["ok"]


class Ready(Healthy):
    """The database is available."""

    database: Literal[True]


class NotReady(BaseModel):
    """The database is unavailable."""

    status: Literal["unavailable"]
    database: Literal[False]


class Stopping(BaseModel):
    """The server is shutting down and will soon stop accepting connections."""

    status: Literal["stopping"]

"""The rest of the objects that the API answers with: webhooks and events, credit, models, usage, invoices, probes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from producer.openapi.answers import CompletionDetails, Count, Credits, List, PromptDetails, Time
from shared.submissions.schemas import JobType


class Webhook(BaseModel):
    """Where events are sent."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[str]
    status: Literal["enabled", "disabled"]
    created_at: Time


class NewSecret(Webhook):
    """A webhook with its secret, which no later answer shows."""

    secret: Annotated[str, Field(pattern="^whsec_")]


class DeletedWebhook(BaseModel):
    """A webhook that is no more."""

    id: str
    object: Literal["webhook"]
    deleted: Literal[True]


class Delivery(BaseModel):
    """How far an event has come on its way to a webhook."""

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
    """What has happened; `data` has ids, status and counts, and the URL of the rest.

    `sequence` counts the account's events of live keys, and apart from them those of test keys, which say `test`.
    """

    id: str
    object: Literal["event"]
    type: str
    created_at: Time
    sequence: Count
    data: dict[str, Any]
    test: Literal[True] = True


class Threshold(BaseModel):
    """A level at which `credit.threshold` is sent: credits that remain, or that the calendar month has cost."""

    kind: Literal["remaining", "spent"]
    credits: Credits


class Thresholds(BaseModel):
    """The account's thresholds."""

    object: Literal["thresholds"]
    thresholds: list[Threshold]


class Spent(BaseModel):
    """What a calendar month, UTC, has cost."""

    period: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    credits: Credits


class Balance(BaseModel):
    """`available` may be spent, `held` is set aside for unfinished jobs; `remaining` is both."""

    object: Literal["credits"]
    available: Credits
    held: Credits
    remaining: Credits
    spent: Spent
    thresholds: list[Threshold]


class Subject(BaseModel):
    """What a transfer is for."""

    type: str
    id: str


class Transfer(BaseModel):
    """One movement of credit."""

    id: str
    object: Literal["transfer"]
    kind: Literal["grant", "hold", "charge", "release", "refund", "adjust"]
    from_: Annotated[str, Field(alias="from")]
    to: str
    credits: Credits
    subject: Subject
    created_at: Time


class TierPrice(BaseModel):
    """For tokens in and out of a service tier."""

    input: Count
    output: Count


class Price(BaseModel):
    """Integers, in `unit`: for tokens in and out, or for a picture of a size (or of a quality and size).

    `cached_input`, `cache_write`: of input read from the provider's cache or written into it; absent: as other input.
    """

    unit: str
    version: str
    input: Count = 0
    output: Count = 0
    cached_input: Count = 0
    cache_write: Count = 0
    service_tiers: dict[str, TierPrice] = {}
    images: dict[str, int] = {}
    qualities: Annotated[list[str], Field(description="Qualities that cost what the size does.")] = []


class Model(BaseModel):
    """Something that can be asked for."""

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
    """Whole days, UTC, both inclusive."""

    from_: Annotated[str, Field(alias="from", json_schema_extra={"format": "date"})]
    to: Annotated[str, Field(json_schema_extra={"format": "date"})]
    timezone: Literal["UTC"]


class ModelCredits(BaseModel):
    """What a model has cost."""

    model: str
    credits: Credits


class UsageRow(BaseModel):
    """What one job used and was charged."""

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
    """The sums of a period, whole, and a page of its rows."""

    period: Days
    credits_used: Credits
    top_models: list[ModelCredits]


class InvoiceLine(BaseModel):
    """What one model has done for a batch."""

    model: str
    jobs: Count
    prompt_tokens: Count
    completion_tokens: Count
    images: Count
    credits: Credits


class Invoice(BaseModel):
    """The statement of a batch, paid as it ran, or a purchase of credit."""

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
    """The process turns."""

    status: Literal["ok"]


class Ready(Healthy):
    """The database answers."""

    database: Literal[True]


class NotReady(BaseModel):
    """The database does not answer."""

    status: Literal["unavailable"]
    database: Literal[False]


class Stopping(BaseModel):
    """The server is about to stop, and takes no new connections in a moment."""

    status: Literal["stopping"]

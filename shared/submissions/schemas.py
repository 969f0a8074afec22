"""The main values of a job: what is asked (Submission), and how much it used (Usage).

What may serve it is an Offer (`shared.submissions.offers`). The fields of a request are in
`shared.submissions.requests`; what is not there is never forwarded to a provider.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from pydantic import ConfigDict, Field, ValidationError

from shared.errors import InvalidRequest
from shared.money.pricing import Amount
from shared.submissions import answer_options, extras, linked_context, preface
from shared.submissions.answer_options import NO_OPTIONS, AnswerOptions
from shared.submissions.job_types import JobType
from shared.submissions.linked_context import LinkedEntity
from shared.submissions.preface import NULLS as NULLS
from shared.submissions.requests import ChatRequest as ChatRequest
from shared.submissions.requests import EmbeddingRequest as EmbeddingRequest
from shared.submissions.requests import ImageRequest as ImageRequest
from shared.submissions.selection import ModelSelection, read_model
from shared.submissions.shapes import NullIsAbsent
from shared.submissions.shapes import Shape as Shape
from shared.submissions.shapes import invalid as invalid

#: One customer's metadata: OpenAI's own limits.
MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE = 16, 64, 512


class Routing(NullIsAbsent):
    """Which models may serve the job: fallback models, in order, and a budget."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    #: None: those of the model's catalogue row.
    fallbacks: list[str] | None = Field(default=None, max_length=3)
    #: A stream begins when the answer is whole, so that another provider can still take the place of one that breaks.
    hold_stream: bool = False
    #: The order of the candidates (`shared.submissions.routing`); None: as they are asked for.
    budget: Literal["economy", "balanced", "quality"] | None = None


REQUESTS: Mapping[JobType, type[Shape]] = {
    "chat.completion": ChatRequest,
    "embedding": EmbeddingRequest,
    "image": ImageRequest,
}


NO_ROUTING = Routing()

#: The service tier of a request that names none, and the names that mean it: what they cost is the model's price.
USUAL_TIER: Final = "default"
STANDARD_TIERS: Final = ("auto", USUAL_TIER)

#: The field that says what becomes of a request for which there is too little credit, and its values.
ON_SHORTAGE: Final = "on_insufficient_credits"
WAIT: Final = "wait"
SHORTAGE: Final = ("fail", WAIT)

#: Where a stored request names those of its fields that are our defaults: they are not sent, `_OURS` of them.
UNASKED = "unasked"
_OURS = ("n", "response_format")


@dataclass(slots=True, kw_only=True)
class Submission:
    """One job as asked for, whatever the dialect: `request` holds known, validated fields only.

    Not frozen, though nothing changes one: a batch makes 50,000, and freezing doubles what one costs.
    """

    type: JobType
    #: The name of the model; empty: it is selected.
    model: str
    request: dict[str, Any]
    #: The request as compact JSON, as its row keeps it.
    json: bytes
    routing: Routing = NO_ROUTING
    labels: dict[str, str] | None = None
    #: By what the model is selected, where none is named.
    selection: ModelSelection | None = None
    #: The entities that a chat is about; and the bytes that each takes, once they are its first message
    #: (`shared.submissions.linked_message`).
    linked: tuple[LinkedEntity, ...] = ()
    linked_bytes: tuple[int, ...] = ()
    options: AnswerOptions = NO_OPTIONS
    #: Whose events of its end are to be written beside ours (`shared.jobs.response_events`); None: none.
    owed_events: str | None = None
    #: Where its account has too little credit, it is accepted all the same, and waits (`shared.jobs.credit_waits`).
    waits: bool = False
    #: Where the event of its end is sent, beside the account's webhooks.
    callback_url: str | None = None


@dataclass(slots=True)
class Usage:
    """What a provider says it used, in canonical terms. Nothing changes one; it is not frozen, as Submission is not."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    size: str = ""
    #: Counted here, because the provider did not say.
    estimated: bool = False
    #: Of the prompt tokens, those read from the provider's cache and those written into it; of the completion tokens,
    #: those of its reasoning. None: the provider did not tell. Never negative, never more than what they are part of.
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    #: Of those written into the cache, those kept for an hour, where the provider sells that apart.
    cache_creation_1h_tokens: int | None = None
    #: The provider's service tier that served it, in canonical terms (`flex`, `default`); empty: it did not tell.
    service_tier: str = ""
    #: The same of sound; told to the caller, and of no other use.
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None

    @property
    def amount(self) -> Amount:
        """What of it has a price."""
        return Amount(
            self.prompt_tokens,
            self.completion_tokens,
            self.images,
            self.size,
            cached_tokens=self.cached_tokens or 0,
            cache_creation_tokens=self.cache_creation_tokens or 0,
            cache_creation_1h_tokens=self.cache_creation_1h_tokens or 0,
            reasoning_tokens=self.reasoning_tokens or 0,
        )


def read_submission(
    type: JobType,
    body: Mapping[str, Any],
    *,
    at: str = "",
    ignore_unknown: bool = False,
    unsent: Sequence[str] = (),
    callback: Callable[[Any, str], str | None] | None = None,
) -> Submission:
    """Validate one request body of a type; a 400 names the field, prefixed by `at` (`jobs[3].`).

    `ignore_unknown`: a field that nobody knows is no fault; the job lists it as `ignored`.
    `unsent`: what it lists as well, because the body was made of a request that had it.
    `callback`: the body may have a `callback_url`, which this reads and checks (`shared.network.receivers.callback`).
    """
    fields = dict(body)
    callback_url = callback(fields.pop("callback_url", None), at) if callback else None
    found: dict[str, Any] = dict.fromkeys(unsent)
    try:
        model, selection = read_model(type, fields.pop("model", None), at)
        labels = read_labels(fields.pop("metadata", None), at)
        waits = read_shortage(fields.pop(ON_SHORTAGE, None), at)
        routing = _routing(fields.pop("routing", None), at, found if ignore_unknown else None)
        named = fields.pop(linked_context.FIELD, None) if type == "chat.completion" else None
        linked = linked_context.read(named, found, at=at, ignore_unknown=ignore_unknown) if named else ()
        options = answer_options.take(fields) if type == "chat.completion" else NO_OPTIONS
        fields = extras.take(REQUESTS[type], fields, found, at=at, ignore_unknown=ignore_unknown)
        request = REQUESTS[type].model_validate(fields)
    except ValidationError as error:
        raise invalid(error, at) from None
    known = request.model_dump(exclude_none=True, by_alias=True)
    options = answer_options.applied(options, known, found)
    if type == "image" and (unasked := [name for name in _OURS if fields.get(name) is None]):
        known[UNASKED] = unasked
    if type == "chat.completion" and (nulls := _said_null(fields["messages"])):
        known[NULLS] = nulls
    if found:
        known[extras.KEY] = found
    if options.language:
        known = preface.put(known, answer_options.instruction(options))
    json = orjson.dumps(known)
    return Submission(
        type=type,
        model=model,
        selection=selection,
        request=known,
        json=json,
        routing=routing,
        labels=labels,
        linked=linked,
        options=options,
        waits=waits,
        callback_url=callback_url,
    )


def read_shortage(value: Any, at: str = "") -> bool:
    """Whether what is asked for waits where there is too little credit: ON_SHORTAGE of a body."""
    if value not in (None, *SHORTAGE):
        known = " or ".join(SHORTAGE)
        raise InvalidRequest(f"{at}{ON_SHORTAGE} must be {known}", param=f"{at}{ON_SHORTAGE}")
    return bool(value == WAIT)


def _said_null(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    return [number for number, message in enumerate(messages) if message.get("content", "") is None]


def text_bytes(submission: Submission, pictures: Sequence[str]) -> int:
    """UTF-8 bytes of a request without its image data; an upper bound of the tokens of its text."""
    return len(submission.json) - sum(map(len, pictures))


def image_urls(request: Mapping[str, Any]) -> list[str]:
    """The image parts' addresses (or data) in a chat request."""
    return [url for _, url in image_places(request)]


def image_places(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same, each after its place: `messages[0].content[1].image_url.url`."""
    return [
        (f"messages[{turn}].content[{place}].image_url.url", part["image_url"]["url"])
        for turn, message in enumerate(request.get("messages", ()))
        if isinstance(message.get("content"), list)
        for place, part in enumerate(message["content"])
        if part["type"] == "image_url"
    ]


def picture_kind(request: Mapping[str, Any], prices: Mapping[str, int]) -> str:
    """The key under which a picture's price stands: quality and size where that has one, else the size."""
    size = str(request["size"])
    fine = f"{request.get('quality')}/{size}"
    return fine if fine in prices else size


def _routing(value: Any, at: str, found: dict[str, Any] | None) -> Routing:
    if value is None:
        return NO_ROUTING
    if found is not None and isinstance(value, dict):
        value = extras.take(Routing, value, found, within="routing", at=at, ignore_unknown=True)
    try:
        return Routing.model_validate(value)
    except ValidationError as error:
        raise invalid(error, f"{at}routing.") from None


def read_labels(value: Any, at: str = "") -> dict[str, str] | None:
    """The customer's `metadata`: OpenAI's limits; a 400 names the key."""
    if value is None:
        return None
    where = f"{at}metadata"
    if not isinstance(value, dict) or len(value) > MAX_LABELS:
        raise InvalidRequest(f"{where} must be an object with at most {MAX_LABELS} keys", param=where)
    for key, text in value.items():
        if len(key) > MAX_LABEL_KEY or not isinstance(text, str) or len(text) > MAX_LABEL_VALUE:
            raise InvalidRequest(
                f"{where}.{key[:MAX_LABEL_KEY]}: keys must be at most {MAX_LABEL_KEY} characters long, "
                f"values must be strings of at most {MAX_LABEL_VALUE} characters",
                param=where,
            )
    return value

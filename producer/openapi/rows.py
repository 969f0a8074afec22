"""The table of operations: a row for each route, by the name of its function.

Path, method and summary (the first line of the function's docstring) come from the route itself. A row says which body
it takes, what it answers, with which parameters, and which refusals it has beside those that every route has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from producer.openapi import account_answers as account
from producer.openapi import answers
from producer.openapi import batch_answers as batches
from producer.openapi.answers import List
from producer.openapi.parts import RATE, Schema, header, query
from shared.errors import Conflict, Forbidden, FusionError, InsufficientCredits, NotFound, Timeout, UpstreamError
from shared.files.images import MEDIA_TYPES
from shared.jobs.outcomes import TERMINAL

#: Tags, in the order in which they are shown.
TAGS: Final[Mapping[str, str]] = {
    "Chat": "Chat completions and tools, as OpenAI's SDK calls them; each call is a job.",
    "Embeddings": "Vectors of texts.",
    "Images": "Pictures from a prompt.",
    "Models": "What can be asked for.",
    "Jobs": "The durable job behind every call: accepted, run and charged once.",
    "Batches": "Up to 50,000 requests at once.",
    "Files": "What batches are read from and written to.",
    "Webhooks": "Where events are sent. Every delivery is signed twice. Live keys have webhooks, test keys others.",
    "Events": "Every event of the key's mode, live or test, in order, for closing a gap.",
    "Credits": "Prepaid credit and its movements; of live keys alone.",
    "Usage": "What was used, as JSON or CSV, and invoices.",
    "Service": "Probes, metrics, this document. No key.",
}

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: schemas by media type; a model for JSON, a schema for anything else."""

    description: str
    content: Mapping[str, Any]
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One operation. `body`: a component schema's name; `takes`: its media type."""

    tag: str
    answers: Mapping[int, Answer]
    body: str | None = None
    takes: str = JSON
    #: Parameters, or names of `parts.PARAMETERS`.
    parameters: tuple[str | Schema, ...] = ()
    errors: tuple[type[FusionError], ...] = ()
    #: It does its thing once for an Idempotency-Key.
    once: bool = False
    keyless: bool = False
    #: The body may be left out.
    optional: bool = False


def _one(description: str, model: Any, *headers: str) -> dict[int, Answer]:
    return {200: Answer(description, {JSON: model}, headers)}


def _binary(*types: str) -> dict[str, Schema]:
    return {type: {"type": "string", "format": "binary"} for type in types}


_PAGE: Final = ("limit", "after", "order")
_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
_DAY: Final[Schema] = {"type": "string", "format": "date"}
_STATUS: Final[Schema] = {"type": "string", "enum": ["queued", "running", *sorted(TERMINAL)]}
_JOB_ANSWER: Final = ("FusionAI-Job-Id", "Idempotent-Replayed", *RATE)
_ACCEPTED: Final = (*_JOB_ANSWER, "Location", "Retry-After")
_MAKES_JOBS: Final = (InsufficientCredits,)
#: How a caller tells for how long it waits.
_WAITING: Final = ("Prefer", "X-Stainless-Read-Timeout", "X-Stainless-Timeout")
#: Of a stream, OpenAPI 3.1 describes one event.
_EVENT: Final[Schema] = {
    "description": "A server-sent event. Its data is a chunk; that of the last one is `[DONE]`, or, where the stream "
    "breaks off, an error that names the job. A stream is begun after a few seconds even when there is nothing to say "
    "yet; comments (`: keep-alive`, one line) fill what is silent.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {
            "type": "string",
            "description": "For Last-Event-ID. On a job's stream; on a chat completion's with `FusionAI-Stream-Ids`.",
        },
        "event": {"type": "string"},
        "data": {
            "anyOf": [
                {"const": "[DONE]", "type": "string"},
                {
                    "type": "string",
                    "contentMediaType": JSON,
                    "contentSchema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/ChatCompletionChunk"},
                            {"$ref": "#/components/schemas/StreamError"},
                        ]
                    },
                },
            ]
        },
    },
}
EVENTS: Final = {"text/event-stream": _EVENT}


def _call(
    tag: str, body: str, model: Any, *, streamed: Mapping[str, Schema] = {}, parameters: tuple[str | Schema, ...] = ()
) -> Row:
    """A call that waits for its job."""
    headers = (*_ACCEPTED, "Preference-Applied")
    late = Answer("The job, since `respond-async` was preferred.", {JSON: answers.Job}, headers)
    return Row(
        tag,
        {
            200: Answer("The job's result.", {JSON: model, **streamed}, ("FusionAI-Credits-Used", *_JOB_ANSWER)),
            202: late,
        },
        body,
        parameters=(*_WAITING, *parameters),
        errors=(*_MAKES_JOBS, Conflict, UpstreamError, Timeout),
        once=True,
    )


ROWS: Final[Mapping[str, Row]] = {
    "create_chat_completion": _call(
        "Chat",
        "ChatCompletionRequest",
        answers.ChatCompletion,
        streamed=EVENTS,
        parameters=(
            header(
                "FusionAI-Stream-Ids",
                {"type": "string"},
                "`true`: with `stream: true`, each event has its `id`, for Last-Event-ID on the job's stream.",
            ),
        ),
    ),
    "create_embedding": _call("Embeddings", "EmbeddingsRequest", answers.Embeddings),
    "create_image": _call("Images", "ImagesRequest", answers.Images),
    "show_picture": Row(
        "Images",
        {200: Answer("The picture.", _binary(*MEDIA_TYPES.values()))},
        parameters=(
            query("expires", {"type": "string"}, "From the link."),
            query("signature", {"type": "string"}, "From the link."),
        ),
        errors=(NotFound,),
        keyless=True,
    ),
    "list_models": Row("Models", _one("The models that this key can use.", List[account.Model])),
    "show_model": Row("Models", _one("The model.", account.Model), errors=(NotFound,)),
    "create_jobs": Row(
        "Jobs",
        {202: Answer("The job, or a list of them.", {JSON: answers.Job | answers.Jobs}, _ACCEPTED)},
        "JobRequest",
        errors=_MAKES_JOBS,
        once=True,
    ),
    "list_jobs": Row(
        "Jobs",
        _one("A page of jobs.", List[answers.Job]),
        parameters=(
            *_PAGE,
            query("status", _STATUS, "Those of one status."),
            query("ids", {"type": "string"}, "Those of up to 100 ids, with commas between them."),
            query("batch_id", {"type": "string"}, "Those of one batch."),
        ),
    ),
    "show_job": Row(
        "Jobs",
        _one("The job.", answers.Job, "FusionAI-Job-Id"),
        parameters=(
            query(
                "wait",
                {"type": "number", "minimum": 0, "maximum": 3600, "default": 0},
                "Answer when the job has ended, or after so many seconds; never later than the server waits at all "
                "(600 seconds unless its operator says otherwise).",
            ),
            "X-Stainless-Read-Timeout",
            "X-Stainless-Timeout",
        ),
        errors=(NotFound,),
    ),
    "cancel_job": Row(
        "Jobs",
        _one("The job; one that was running ends as soon as its worker hears.", answers.Job, "FusionAI-Job-Id"),
        errors=(NotFound, Conflict),
        once=True,
    ),
    "stream_job": Row(
        "Jobs",
        {200: Answer("The chunks, from the first one or after the one read last.", EVENTS, ("FusionAI-Job-Id",))},
        parameters=(
            query("include_usage", {"type": "boolean", "default": True}, "Whether the last chunk has the usage."),
            header("Last-Event-ID", {"type": "string"}, "The id of the event that was read last: what follows it."),
            *_WAITING,
        ),
        errors=(NotFound, Conflict, UpstreamError, Timeout),
    ),
    "create_batch": Row(
        "Batches",
        _one("The batch; or, for a dry run, what it would cost.", batches.Batch | batches.DryRun),
        "BatchSpec",
        errors=(NotFound, Forbidden),
        once=True,
    ),
    "list_batches": Row("Batches", _one("A page of batches.", List[batches.Batch]), parameters=_PAGE),
    "show_batch": Row("Batches", _one("The batch.", batches.Batch), errors=(NotFound,)),
    "show_progress": Row(
        "Batches", _one("Its progress, at most a second old.", batches.BatchProgress), errors=(NotFound,)
    ),
    "retry_batch": Row(
        "Batches",
        _one(
            "The new batch: it takes a hold of its own, at today's prices, for its lines alone. Its input file has the "
            "lines that it repeats. Its output file has their answers and those of the earlier batches whose lines "
            "these are, in the order of the first one's input; its error file what has still failed. Its "
            "`request_counts` and statement are of its own lines only. A 409 names the batch that repeats these lines "
            "already.",
            batches.Batch,
        ),
        "RetrySpec",
        errors=(NotFound, Conflict, Forbidden),
        once=True,
        optional=True,
    ),
    "cancel_batch": Row("Batches", _one("The batch.", batches.Batch), errors=(NotFound, Conflict), once=True),
    "create_file": Row(
        "Files",
        _one("The file; it is safe.", batches.File),
        "FileUpload",
        "multipart/form-data",
        errors=(Forbidden,),
        once=True,
    ),
    "list_files": Row(
        "Files",
        _one("A page of files.", List[batches.File]),
        parameters=(*_PAGE, query("purpose", {"type": "string"}, "`batch` or `batch_output`.")),
    ),
    "show_file": Row("Files", _one("The file.", batches.File), errors=(NotFound,)),
    "read_file": Row(
        "Files",
        {200: Answer("The bytes.", _binary("application/octet-stream", "application/jsonl"), ("Content-Disposition",))},
        errors=(NotFound,),
    ),
    "delete_file": Row("Files", _one("It is deleted.", batches.DeletedFile), errors=(NotFound, Conflict)),
    "create_webhook": Row(
        "Webhooks", _one("The webhook.", account.NewSecret), "WebhookSpec", errors=(Conflict,), once=True
    ),
    "list_webhooks": Row("Webhooks", _one("A page of webhooks.", List[account.Webhook]), parameters=_PAGE),
    "show_webhook": Row("Webhooks", _one("The webhook.", account.Webhook), errors=(NotFound,)),
    "change_webhook": Row("Webhooks", _one("The webhook.", account.Webhook), "WebhookChange", errors=(NotFound,)),
    "remove_webhook": Row("Webhooks", _one("It is deleted.", account.DeletedWebhook), errors=(NotFound,)),
    "rotate_webhook": Row("Webhooks", _one("The webhook.", account.NewSecret), errors=(NotFound, Conflict), once=True),
    "test_webhook": Row("Webhooks", _one("The webhook.", account.Webhook), errors=(NotFound,), once=True),
    "list_deliveries": Row(
        "Webhooks", _one("A page of deliveries.", List[account.Delivery]), parameters=_PAGE, errors=(NotFound,)
    ),
    "list_events": Row(
        "Events", _one("A page of events, the oldest first.", List[account.Event]), parameters=("limit", "after")
    ),
    "redeliver_event": Row("Events", _one("The event.", account.Event), errors=(NotFound,), once=True),
    "show_credits": Row("Credits", _one("The balance.", account.Balance), errors=(Forbidden,)),
    "list_transfers": Row(
        "Credits", _one("A page of transfers.", List[account.Transfer]), parameters=_PAGE, errors=(Forbidden,)
    ),
    "set_thresholds": Row(
        "Credits", _one("The thresholds.", account.Thresholds), "ThresholdSpecs", errors=(Forbidden,)
    ),
    "show_usage": Row(
        "Usage",
        {
            200: Answer(
                "Sums and a page of rows; or, as CSV, every row of the period.",
                {JSON: account.Usage, "text/csv": {"type": "string"}},
                ("Vary", "Content-Disposition"),
            )
        },
        parameters=(
            *_PAGE,
            query("from", _DAY, "The first day, UTC; the first of the month unless you say."),
            query("to", _DAY, "The last day, UTC; today unless you say."),
            query("model", _TEXT, "Of one model."),
            query("batch_id", _TEXT, "Of one batch."),
            query("format", {"type": "string", "enum": ["json", "csv"]}, "Unless you say, as the Accept header does."),
        ),
    ),
    "list_invoices": Row(
        "Usage",
        _one("A page of invoices.", List[account.Invoice]),
        parameters=(
            *_PAGE,
            query("kind", {"type": "string", "enum": ["statement", "purchase"]}, "Of one kind."),
            query("batch_id", _TEXT, "Of one batch."),
        ),
        errors=(Forbidden,),
    ),
    "show_invoice": Row("Usage", _one("The invoice.", account.Invoice), errors=(NotFound, Forbidden)),
    "healthz": Row("Service", _one("It does.", account.Healthy), keyless=True),
    "readyz": Row(
        "Service",
        {**_one("It does.", account.Ready), 503: Answer("It does not.", {JSON: account.NotReady | account.Stopping})},
        keyless=True,
    ),
    "metrics": Row(
        "Service",
        {
            200: Answer("Prometheus's text format.", {"text/plain": {"type": "string"}}),
            503: Answer("The database does not answer.", {JSON: account.NotReady}),
        },
        keyless=True,
    ),
    "show_document": Row(
        "Service",
        {
            200: Answer("OpenAPI 3.1.", {JSON: {"type": "object"}}, ("ETag",)),
            304: Answer("It is still the one that you have.", {}, ("ETag",)),
        },
        keyless=True,
    ),
    "show_docs": Row("Service", {200: Answer("For a browser.", {"text/html": {"type": "string"}})}, keyless=True),
}

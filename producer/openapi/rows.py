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
    "Embeddings": "Vector representations of text.",
    "Images": "Images generated from a prompt.",
    "Models": "The models that your API key can use, with their prices.",
    "Jobs": "The durable job behind every call: accepted, run and charged exactly once.",
    "Batches": "Up to 50,000 requests processed asynchronously.",
    "Files": "Input and output files of batches.",
    "Webhooks": "Endpoints that receive events. Every delivery is signed with two schemes. Live and test keys have "
    "separate webhooks.",
    "Events": "All events of the key's mode (live or test), in order, so that missed deliveries can be recovered.",
    "Credits": "Prepaid credit balance and its transfers. Requires a live key.",
    "Usage": "Usage, as JSON or CSV, and invoices.",
    "Service": "Health checks, metrics and this document. No API key required.",
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
    "description": "A server-sent event. Its data is a chunk; the data of the last event is `[DONE]` or, if the stream "
    "is interrupted, an error that names the job. The response starts within a few seconds even if the first chunk is "
    "not available yet; one-line comments (`: keep-alive`) are sent while the stream is idle.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {
            "type": "string",
            "description": "The value to send as Last-Event-ID to resume. Present on the stream of a job; on the "
            "stream of a chat completion only with `FusionAI-Stream-Ids: true`.",
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
    late = Answer("The job, because the request has `Prefer: respond-async`.", {JSON: answers.Job}, headers)
    return Row(
        tag,
        {
            200: Answer("The result of the job.", {JSON: model, **streamed}, ("FusionAI-Credits-Used", *_JOB_ANSWER)),
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
                "If `true` and the request has `stream: true`, each event has an `id`, which can be sent as "
                "Last-Event-ID to the stream of the job.",
            ),
        ),
    ),
    "create_embedding": _call("Embeddings", "EmbeddingsRequest", answers.Embeddings),
    "create_image": _call("Images", "ImagesRequest", answers.Images),
    "show_picture": Row(
        "Images",
        {200: Answer("The image.", _binary(*MEDIA_TYPES.values()))},
        parameters=(
            query("expires", {"type": "string"}, "Part of the signed link."),
            query("signature", {"type": "string"}, "Part of the signed link."),
        ),
        errors=(NotFound,),
        keyless=True,
    ),
    "list_models": Row("Models", _one("The models that this API key can use.", List[account.Model])),
    "show_model": Row("Models", _one("The model.", account.Model), errors=(NotFound,)),
    "create_jobs": Row(
        "Jobs",
        {202: Answer("The job, or a list of the jobs.", {JSON: answers.Job | answers.Jobs}, _ACCEPTED)},
        "JobRequest",
        errors=_MAKES_JOBS,
        once=True,
    ),
    "list_jobs": Row(
        "Jobs",
        _one("A page of jobs.", List[answers.Job]),
        parameters=(
            *_PAGE,
            query("status", _STATUS, "Only jobs with this status."),
            query("ids", {"type": "string"}, "Only jobs with these ids: up to 100, separated by commas."),
            query("batch_id", {"type": "string"}, "Only jobs of this batch."),
        ),
    ),
    "show_job": Row(
        "Jobs",
        _one("The job.", answers.Job, "FusionAI-Job-Id"),
        parameters=(
            query(
                "wait",
                {"type": "number", "minimum": 0, "maximum": 3600, "default": 0},
                "Respond when the job has finished, or after this many seconds. Limited by the server's maximum wait "
                "(600 seconds by default).",
            ),
            "X-Stainless-Read-Timeout",
            "X-Stainless-Timeout",
        ),
        errors=(NotFound,),
    ),
    "cancel_job": Row(
        "Jobs",
        _one("The job. A running job ends as soon as its worker is notified.", answers.Job, "FusionAI-Job-Id"),
        errors=(NotFound, Conflict),
        once=True,
    ),
    "stream_job": Row(
        "Jobs",
        {200: Answer("The chunks, from the first one, or those after Last-Event-ID.", EVENTS, ("FusionAI-Job-Id",))},
        parameters=(
            query("include_usage", {"type": "boolean", "default": True}, "Whether the last chunk includes the usage."),
            header(
                "Last-Event-ID",
                {"type": "string"},
                "The id of the last event received; the stream continues with the event after it.",
            ),
            *_WAITING,
        ),
        errors=(NotFound, Conflict, UpstreamError, Timeout),
    ),
    "create_batch": Row(
        "Batches",
        _one("The batch or, for a dry run, its maximum cost.", batches.Batch | batches.DryRun),
        "BatchSpec",
        errors=(NotFound, Forbidden),
        once=True,
    ),
    "list_batches": Row("Batches", _one("A page of batches.", List[batches.Batch]), parameters=_PAGE),
    "show_batch": Row("Batches", _one("The batch.", batches.Batch), errors=(NotFound,)),
    "show_progress": Row(
        "Batches", _one("The progress of the batch, at most one second old.", batches.BatchProgress), errors=(NotFound,)
    ),
    "retry_batch": Row(
        "Batches",
        _one(
            "The new batch. Credits are held for its own lines, at current prices. Its input file contains the lines "
            "that are retried. Its output file contains their results together with those of the original batch (and "
            "of earlier retries), in the order of the original input file; its error file contains the lines that "
            "still failed. Its `request_counts` and its statement cover its own lines only. A 409 names the batch "
            "that already retries these lines.",
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
        _one("The file, which is now stored durably.", batches.File),
        "FileUpload",
        "multipart/form-data",
        errors=(Forbidden,),
        once=True,
    ),
    "list_files": Row(
        "Files",
        _one("A page of files.", List[batches.File]),
        parameters=(
            *_PAGE,
            query("purpose", {"type": "string"}, "Only files with this purpose: `batch` or `batch_output`."),
        ),
    ),
    "show_file": Row("Files", _one("The file.", batches.File), errors=(NotFound,)),
    "read_file": Row(
        "Files",
        {
            200: Answer(
                "The contents of the file.",
                _binary("application/octet-stream", "application/jsonl"),
                ("Content-Disposition",),
            )
        },
        errors=(NotFound,),
    ),
    "delete_file": Row("Files", _one("The file was deleted.", batches.DeletedFile), errors=(NotFound, Conflict)),
    "create_webhook": Row(
        "Webhooks",
        _one("The webhook, with its secret.", account.NewSecret),
        "WebhookSpec",
        errors=(Conflict,),
        once=True,
    ),
    "list_webhooks": Row("Webhooks", _one("A page of webhooks.", List[account.Webhook]), parameters=_PAGE),
    "show_webhook": Row("Webhooks", _one("The webhook.", account.Webhook), errors=(NotFound,)),
    "change_webhook": Row("Webhooks", _one("The webhook.", account.Webhook), "WebhookChange", errors=(NotFound,)),
    "remove_webhook": Row("Webhooks", _one("The webhook was deleted.", account.DeletedWebhook), errors=(NotFound,)),
    "rotate_webhook": Row(
        "Webhooks", _one("The webhook, with its new secret.", account.NewSecret), errors=(NotFound, Conflict), once=True
    ),
    "test_webhook": Row("Webhooks", _one("The webhook.", account.Webhook), errors=(NotFound,), once=True),
    "list_deliveries": Row(
        "Webhooks", _one("A page of deliveries.", List[account.Delivery]), parameters=_PAGE, errors=(NotFound,)
    ),
    "list_events": Row(
        "Events", _one("A page of events, oldest first.", List[account.Event]), parameters=("limit", "after")
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
                "The totals of the period and a page of its rows; as CSV, all rows of the period.",
                {JSON: account.Usage, "text/csv": {"type": "string"}},
                ("Vary", "Content-Disposition"),
            )
        },
        parameters=(
            *_PAGE,
            query("from", _DAY, "The first day, in UTC. Default: the first day of the current month."),
            query("to", _DAY, "The last day, in UTC, inclusive. Default: today."),
            query("model", _TEXT, "Only usage of this model."),
            query("batch_id", _TEXT, "Only usage of this batch."),
            query("format", {"type": "string", "enum": ["json", "csv"]}, "Default: as the Accept header says."),
        ),
    ),
    "list_invoices": Row(
        "Usage",
        _one("A page of invoices.", List[account.Invoice]),
        parameters=(
            *_PAGE,
            query("kind", {"type": "string", "enum": ["statement", "purchase"]}, "Only invoices of this kind."),
            query("batch_id", _TEXT, "Only invoices of this batch."),
        ),
        errors=(Forbidden,),
    ),
    "show_invoice": Row("Usage", _one("The invoice.", account.Invoice), errors=(NotFound, Forbidden)),
    "healthz": Row("Service", _one("OK", account.Healthy), keyless=True),
    "readyz": Row(
        "Service",
        {**_one("Ready", account.Ready), 503: Answer("Not ready", {JSON: account.NotReady | account.Stopping})},
        keyless=True,
    ),
    "metrics": Row(
        "Service",
        {
            200: Answer("Metrics in the Prometheus text format.", {"text/plain": {"type": "string"}}),
            503: Answer("The database is unavailable.", {JSON: account.NotReady}),
        },
        keyless=True,
    ),
    "show_document": Row(
        "Service",
        {
            200: Answer("The OpenAPI 3.1 document.", {JSON: {"type": "object"}}, ("ETag",)),
            304: Answer("Not modified since the version named in If-None-Match.", {}, ("ETag",)),
        },
        keyless=True,
    ),
    "show_docs": Row(
        "Service", {200: Answer("The documentation as a web page.", {"text/html": {"type": "string"}})}, keyless=True
    ),
}

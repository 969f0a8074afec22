"""The bodies that the API takes, as schemas made of the very shapes that read them."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from producer.openapi.schemas import definitions
from producer.operations import files
from producer.operations.auto_top_ups import AutoTopUpSpec
from producer.operations.batch_retries import RetrySpec
from producer.operations.batches import WINDOW, BatchSpec
from producer.operations.credits import ThresholdSpecs
from producer.operations.invoices import PurchaseSpec
from producer.operations.job_cancels import CancelSpec
from producer.operations.queues import PauseSpec, ResumeSpec
from producer.operations.redeliveries import RedeliverSpec
from producer.operations.webhooks import RotateSpec, WebhookChange, WebhookSpec
from producer.web import uploads
from producer.web.rows import Schema
from shared.network.receivers import CALLBACK_FIELD
from shared.network.urls import URL_LIMIT
from shared.submissions import extras
from shared.submissions.answer_options import AnswerFields
from shared.submissions.job_types import ENDPOINTS, JobType
from shared.submissions.linked_context import LinkedContext
from shared.submissions.schemas import (
    MAX_LABEL_KEY,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    ChatRequest,
    EmbeddingRequest,
    ImageRequest,
    Routing,
    Shape,
)
from shared.submissions.selection import ModelSelection
from shared.submissions.sizes import MOST_CUSTOM_ID, MOST_JOBS
from shared.webhooks import events

Labels = Annotated[
    dict[Annotated[str, Field(max_length=MAX_LABEL_KEY)], Annotated[str, Field(max_length=MAX_LABEL_VALUE)]],
    Field(max_length=MAX_LABELS, description="Your own labels, returned with the job."),
]


CallbackUrl = Annotated[
    str,
    Field(
        max_length=URL_LIMIT,
        description="Where the event of the job's end is sent, signed with the callback secret of the account.",
    ),
]


class _Wanted(Shape):
    """What `shared.submissions.schemas.read_submission` takes beside the request itself."""

    metadata: Labels | None = None
    routing: Routing | None = None
    on_insufficient_credits: Annotated[
        Literal["fail", "wait"] | None,
        Field(
            description="What happens if the account has too little credit. `fail` (the default): 402. `wait`: the job "
            "is accepted, shows `waiting_for: credits`, and starts once there is enough, in the order in which such "
            "jobs came; it needs `Prefer: respond-async` or POST /v1/jobs, and expires as other jobs do."
        ),
    ] = None
    callback_url: CallbackUrl | None = None


class _Named(_Wanted):
    model: Annotated[str, Field(min_length=1, description="A model id from GET /v1/models.")]


class ChatCompletionRequest(ChatRequest, LinkedContext, AnswerFields, _Wanted):
    """A chat completion. `max_completion_tokens` is an alias of `max_tokens`. Default: the maximum of the model."""

    model: Annotated[
        Annotated[str, Field(min_length=1)] | ModelSelection | None,
        Field(description="A model id from GET /v1/models, or how to select one; absent: selected from all."),
    ] = None


class EmbeddingsRequest(EmbeddingRequest, _Named):
    """Texts or token arrays to embed."""


class ImagesRequest(ImageRequest, _Named):
    """Images to generate."""


class BatchLine(Shape):
    """A line of a batch. In inline `requests`, `method` and `url` are optional if the batch has an `endpoint`."""

    custom_id: str = Field(min_length=1, max_length=MOST_CUSTOM_ID)
    method: str = Field(default="POST", pattern="^POST$")
    url: str = Field(default="", json_schema_extra={"enum": list(ENDPOINTS)})
    body: dict[str, Any] = Field(description="The request body for the endpoint.")


#: What a job of each type takes beside its `type`.
OF_TYPE: Final[dict[JobType, type[Shape]]] = {
    "chat.completion": ChatCompletionRequest,
    "embedding": EmbeddingsRequest,
    "image": ImagesRequest,
}
#: Every shape of a request body.
SHAPES: Final[tuple[type[BaseModel], ...]] = (
    *OF_TYPE.values(),
    BatchSpec,
    BatchLine,
    RetrySpec,
    WebhookSpec,
    WebhookChange,
    RotateSpec,
    RedeliverSpec,
    ThresholdSpecs,
    PurchaseSpec,
    AutoTopUpSpec,
    PauseSpec,
    ResumeSpec,
    CancelSpec,
)

_EVENTS: Final = {"enum": ["*", *events.TYPES], "type": "string"}


@cache
def schemas() -> Mapping[str, Any]:
    """The component schemas of requests."""
    made = definitions(SHAPES)
    refine(made)
    return made


def chat_of_named_model() -> Schema:
    """The schema of a chat completion of a dialect in which a model must be named."""
    chat = schemas()["ChatCompletionRequest"]
    selected = {"$ref": "#/components/schemas/ModelSelection"}
    model = {
        "anyOf": [{"type": "string", "minLength": 1}, selected],
        "description": "A model id, or how to select one.",
    }
    said = "A chat completion, as the native one; `model` is required."
    properties = {name: of for name, of in chat["properties"].items() if name != CALLBACK_FIELD} | {"model": model}
    return {**chat, "description": said, "properties": properties, "required": [*chat["required"], "model"]}


def refine(schemas: dict[str, Any]) -> None:
    """Say in the schemas what code beside the shapes checks, and add those of POST /jobs and POST /files."""
    batch = schemas["BatchSpec"]["properties"]
    _set_items(batch["requests"], {"$ref": "#/components/schemas/BatchLine"})
    batch["metadata"] = schemas["ChatCompletionRequest"]["properties"]["metadata"]
    schemas["PurchaseSpec"]["properties"]["metadata"] = batch["metadata"]
    batch["completion_window"]["pattern"] = WINDOW.pattern
    retry = schemas["RetrySpec"]["properties"]
    retry["metadata"] = {"anyOf": [batch["metadata"], {"type": "null"}]}
    retry["completion_window"] = {"anyOf": [{"pattern": WINDOW.pattern, "type": "string"}, {"type": "null"}]}
    batch["endpoint"] = {"anyOf": [{"enum": list(ENDPOINTS), "type": "string"}, {"type": "null"}]}
    for shape in (*extras.HINTS, *extras.LEFTOVERS):
        schemas[shape.__name__]["properties"].update(_beside(shape))
    schemas["ImagePart"]["properties"]["image_url"] = {
        "anyOf": [{"$ref": "#/components/schemas/ImageUrl"}, {"type": "string", "minLength": 1}]
    }
    for name in (*(shape.__name__ for shape in OF_TYPE.values()), "Routing"):
        _take_null(schemas[name])
    for name in ("WebhookSpec", "WebhookChange"):
        _set_items(schemas[name]["properties"]["events"], _EVENTS)
    schemas.update(_jobs(schemas))
    schemas["FileUpload"] = FILE_UPLOAD


def _beside(shape: type[Shape]) -> dict[str, Any]:
    """What `shared.submissions.extras` takes beside a shape's own fields."""
    hints: dict[str, Any] = {
        name: {"anyOf": [{"type": _JSON_TYPES[kind]}, {"type": "null"}], "description": _HINT}
        for name, kind in extras.HINTS.get(shape, {}).items()
    }
    for name in sorted(extras.LEFTOVERS.get(shape, ())):
        hints[name] = {"description": _LEFTOVER} | ({"type": "null"} if name == "function_call" else {})
    return hints


_JSON_TYPES: Final = {dict: "object", str: "string", list: "array", bool: "boolean"}
_HINT: Final = "Forwarded to providers that support it; otherwise listed in `ignored` of the job."
_LEFTOVER: Final = (
    "Part of an earlier response. Accepted in a message that is sent back, but never forwarded to a provider."
)


def _take_null(request: dict[str, Any]) -> None:
    """As `shared.submissions.requests` reads it: a field that is null is not there."""
    for name, property in request["properties"].items():
        branches = property.get("anyOf", [property])
        if name not in request.get("required", ()) and {"type": "null"} not in branches:
            default = {"default": property.pop("default")} if "default" in property else {}
            request["properties"][name] = {"anyOf": [*branches, {"type": "null"}], **default}


def _set_items(property: dict[str, Any], items: dict[str, Any]) -> None:
    """Say what a list, which may be null, has in it."""
    listed = next((branch for branch in property.get("anyOf", ()) if "items" in branch), property)
    listed["items"] = items


def _jobs(schemas: dict[str, Any]) -> dict[str, Any]:
    """One job of a type is its request and the type; POST /jobs takes one, or a list of them, or what they cost."""
    made: dict[str, Any] = {}
    for type, shape in OF_TYPE.items():
        request = schemas[shape.__name__]
        made[_JOBS[type]] = {
            **request,
            "properties": {"type": {"const": type, "type": "string"}, **request["properties"]},
            "required": ["type", *request.get("required", ())],
        }
    one = [{"$ref": f"#/components/schemas/{name}"} for name in made]
    made["JobList"] = {
        "description": "Jobs that are accepted or refused together and run with batch priority.",
        "type": "object",
        "properties": {
            "jobs": {"type": "array", "items": {"oneOf": one}, "minItems": 1, "maxItems": MOST_JOBS},
            "dry_run": _DRY_RUN,
        },
        "required": ["jobs"],
        "additionalProperties": False,
    }
    single = {f"Single{name}": made[name] for name in _JOBS.values()}
    made |= {name: {**job, "properties": {**job["properties"], "dry_run": _DRY_RUN}} for name, job in single.items()}
    names = (*single, "JobList")
    made["JobRequest"] = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    return made


_DRY_RUN: Final = {"type": "boolean", "default": False, "description": "Create nothing; respond with the cost."}
_JOBS: Final[dict[JobType, str]] = {
    "chat.completion": "ChatCompletionJob",
    "embedding": "EmbeddingJob",
    "image": "ImageJob",
}

FILE_UPLOAD: Final[dict[str, Any]] = {
    "description": "A multipart form with one part named `file` and the fields below.",
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary", "description": f"At most {uploads.MOST_BYTES // 1024**2} MB."},
        "purpose": {"type": "string", "enum": [files.PURPOSE]},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {
            "type": "integer",
            "minimum": files.LEAST_SECONDS,
            "maximum": files.MOST_SECONDS,
            "description": "How long the file is kept. Default: 30 days.",
        },
    },
    "required": ["file", "purpose"],
    "dependentRequired": {
        "expires_after[anchor]": ["expires_after[seconds]"],
        "expires_after[seconds]": ["expires_after[anchor]"],
    },
    "additionalProperties": False,
}

"""What many operations share: parameters, the headers of answers, and an answer for each kind of error."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from producer.admission.idempotency import MAX_LENGTH
from producer.operations.pages import PageQuery
from shared.errors import Failed, FusionError, Refused

Schema = dict[str, Any]


def query(name: str, schema: Schema, description: str) -> Schema:
    """A query parameter that may be left out."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Schema, description: str) -> Schema:
    """A request header that may be left out."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def in_path(name: str) -> Schema:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _page() -> dict[str, Schema]:
    """The parameters of a list, from the shape that reads them."""
    said = {
        "limit": "How many at most.",
        "after": "The id of the last one that you have: what follows it.",
        "order": "By time: the newest first (`desc`), or the oldest. A list is not for following what comes: a row may "
        "appear before one that is there already. GET /events is, which leaves nothing out.",
    }
    made = {}
    for name, property in PageQuery.model_json_schema()["properties"].items():
        schema = next((branch for branch in property.get("anyOf", ()) if branch["type"] != "null"), property)
        schema = {key: value for key, value in schema.items() if key != "title"}
        made[name] = query(name, schema, said[name])
    return made


#: Request parameters, by the name under which operations refer to them.
PARAMETERS: Final[Mapping[str, Schema]] = {
    **_page(),
    "IdempotencyKey": header(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "The same key with the same body gets the same answer, with `Idempotent-Replayed: true`, and does nothing "
        "again; with another body it is a 422. Kept for 25 hours at least, for batches and files 8 days. Refusals "
        "that came before anything was accepted are not kept.",
    ),
    "Prefer": header(
        "Prefer",
        {"type": "string", "examples": ["wait=28", "respond-async", "respond-async, wait=5"]},
        "RFC 7240. `wait`: for so many seconds the caller waits; then the answer is a 504 that names the job, which "
        "goes on. Without it that is after the server's own limit, 600 seconds unless its operator says otherwise. "
        "`respond-async`: answer 202 with the job at once, or, with `wait`, after so many seconds unless it is done by "
        "then. Anything else is ignored.",
    ),
    "X-Stainless-Read-Timeout": header(
        "X-Stainless-Read-Timeout",
        {"type": "string", "examples": ["600"]},
        "Official SDKs send it by themselves: after so many seconds without a byte the client gives up. A 504 that "
        "names the job, or the beginning of a stream, comes two seconds before; for less than four seconds, at half.",
    ),
    "X-Stainless-Timeout": header(
        "X-Stainless-Timeout",
        {"type": "string", "examples": ["600"]},
        "The same, as other official SDKs send it.",
    ),
}

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "string", "pattern": r"^\d+$"}


def _header(description: str, schema: Schema = _TEXT, *, always: bool = False) -> Schema:
    return {"description": description, "schema": schema, "required": always}


#: Headers of answers.
HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": _header("Quote it to support.", {"type": "string", "pattern": "^req_"}, always=True),
    "FusionAI-Version": _header("The version of the API.", {"const": "v1", "type": "string"}, always=True),
    "FusionAI-Credits-Used": _header("What the call cost in credits: an exact decimal, such as 0.081."),
    "FusionAI-Job-Id": _header("The job behind this answer: GET /v1/jobs/{job_id}."),
    "Idempotent-Replayed": _header("This answer was given before.", {"const": "true", "type": "string"}),
    "Location": _header("Where the job is."),
    "Retry-After": _header("When to ask again, in seconds.", _WHOLE),
    "Preference-Applied": _header("Which preference was followed (RFC 7240)."),
    "x-should-retry": _header("`false`: a retry could buy the work again.", {"const": "false", "type": "string"}),
    "WWW-Authenticate": _header("How to authenticate.", {"const": "Bearer", "type": "string"}, always=True),
    "X-RateLimit-Limit-Requests": _header("Requests a minute; none of these three: no limit.", _WHOLE),
    "X-RateLimit-Remaining-Requests": _header("How many of them are left now.", _WHOLE),
    "X-RateLimit-Reset-Requests": _header(
        "When all of them are left again: a duration such as `59.980s`.", {"type": "string", "pattern": r"^\d.*s$"}
    ),
    "Content-Disposition": _header("The file's name."),
    "Vary": _header("What the answer depends on."),
    "ETag": _header("Of this very document; send it as If-None-Match."),
}
EVERY: Final = ("X-Request-Id", "FusionAI-Version")
RATE: Final = ("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests")

#: RATE: where a POST that makes jobs may answer so, which always tells what is left.
_OF_JOB: Final = ("FusionAI-Job-Id", "x-should-retry")
_OF_ERROR: Final[Mapping[int, tuple[str, ...]]] = {
    400: (*_OF_JOB, *RATE),
    401: ("WWW-Authenticate",),
    402: RATE,
    404: RATE,
    409: ("Retry-After", *_OF_JOB, *RATE),
    413: RATE,
    415: RATE,
    422: RATE,
    429: ("Retry-After", *RATE),
    500: (*_OF_JOB, *RATE),
    502: (*_OF_JOB, *RATE),
    503: ("Retry-After", *_OF_JOB, *RATE),
    504: (*_OF_JOB, *RATE),
}
_SAID: Final[Mapping[int, tuple[str, str]]] = {
    400: ("Something is wrong with the request; `param` says where.", "messages[2].content: content is missing"),
    401: ("There is no valid API key.", "this API key is unknown, revoked or expired"),
    402: (
        "Not enough credit; nothing was accepted.",
        "this job may cost up to 2.5 credits; 1.25 are available; send max_tokens: up to 190 would do here",
    ),
    403: ("Not for this key.", "this key may not do that"),
    404: ("There is no such thing, or it is another account's.", "there is no job 'job_1'"),
    405: ("The path does not take this method.", "PUT is not a thing to do with /v1/jobs"),
    409: ("It cannot be done as things stand.", "the job was cancelled"),
    413: ("Larger than is taken.", "the body is larger than 50 MB"),
    415: ("Another Content-Type is needed.", "the Content-Type must be application/json, not 'text/plain'"),
    422: ("The Idempotency-Key was used with another request.", "this Idempotency-Key was used with another request"),
    429: (
        "Too many requests in a minute; nothing was accepted.",
        "more than 100 requests in a minute; there is room again in 3 s",
    ),
    500: ("Our own fault.", "an internal error; quote the request id"),
    502: ("The provider failed, after all retries and fallbacks.", "the provider answered 503"),
    503: ("Not now; nothing was accepted, unless a job is named.", "the database does not answer; try again"),
    504: (
        "Not done in time; the job that is named goes on.",
        "job job_1 is not done yet and goes on; ask for it at /v1/jobs/job_1",
    ),
}


def errors() -> Iterator[type[FusionError]]:
    """Every kind of error that a caller may meet."""
    yield from (*Refused.__subclasses__(), *Failed.__subclasses__())


def error_answers() -> dict[str, Schema]:
    """An answer for each kind of error, by the name of its class."""
    return {kind.__name__: _error_answer(kind) for kind in errors()}


def _error_answer(kind: type[FusionError]) -> Schema:
    description, message = _SAID[kind.status]
    shown = {"message": message, "type": kind.type, "code": kind.status, "request_id": "req_019a"}
    own = {"type": {"const": kind.type}, "code": {"const": kind.status}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Error"}, {"properties": {"error": {"properties": own}}}]}
    return {
        "description": description,
        "headers": refer(*EVERY, *_OF_ERROR.get(kind.status, ())),
        "content": {"application/json": {"schema": schema, "example": {"error": shown}}},
    }


#: The shape of every refusal.
ERROR: Final[Schema] = {
    "description": "The envelope of every error; `param` names the place in the request, `reason` the cause, if any.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "request_id"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "enum": [kind.type for kind in errors()]},
                "code": {"type": "integer", "description": "The HTTP status."},
                "param": {"type": "string"},
                "reason": {
                    "type": "string",
                    "description": "The cause in one word, where there is more to say than the type: of a request "
                    "that a provider refuses the provider's own code, such as `context_length_exceeded`.",
                },
                "request_id": {"type": "string"},
                "required_credits": {"type": "number", "description": "Of a 402: what the jobs may cost at most."},
                "available_credits": {"type": "number", "description": "Of a 402: what there is for them."},
                "held_credits": {"type": "number", "description": "Of a 402: what unfinished jobs hold."},
                "held_by_jobs": {"type": "integer", "description": "Of a 402: how many jobs those are."},
                "max_tokens": {
                    "type": "integer",
                    "description": "Of a 402: the largest `max_tokens`, in each job, with which they would be taken.",
                },
                "jobs": {"type": "integer", "description": "Of a 402: how many jobs were asked for."},
                "fitting_jobs": {"type": "integer", "description": "Of a 402: how many of the first would fit."},
            },
        }
    },
}


def refer(*headers: str) -> dict[str, Schema]:
    """Headers of an answer, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}

"""What many operations share: parameters, the headers of answers, and an answer for each kind of error."""

from collections.abc import Iterator, Mapping
from typing import Final

from producer.admission.idempotency import MAX_LENGTH
from producer.operations.pages import PageQuery
from producer.web.dialect import Dialect
from producer.web.rows import JSON, Schema, header, query
from shared.errors import Failed, FusionError, Refused


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


def header_of(description: str, schema: Schema = _TEXT, *, always: bool = False) -> Schema:
    """A header of answers; `always`: of every one."""
    return {"description": description, "schema": schema, "required": always}


#: Headers of answers.
HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": header_of("Quote it to support.", {"type": "string", "pattern": "^req_"}, always=True),
    "FusionAI-Version": header_of("The version of the API.", {"const": "v1", "type": "string"}, always=True),
    "FusionAI-Credits-Used": header_of("What the call cost in credits: an exact decimal, such as 0.081."),
    "FusionAI-Job-Id": header_of("The job behind this answer: GET /v1/jobs/{job_id}."),
    "Idempotent-Replayed": header_of("This answer was given before.", {"const": "true", "type": "string"}),
    "Location": header_of("Where the job is."),
    "Retry-After": header_of("When to ask again, in seconds.", _WHOLE),
    "Preference-Applied": header_of("Which preference was followed (RFC 7240)."),
    "x-should-retry": header_of("`false`: a retry could buy the work again.", {"const": "false", "type": "string"}),
    "Content-Disposition": header_of("The file's name."),
    "Vary": header_of("What the answer depends on."),
    "ETag": header_of("Of this very document; send it as If-None-Match."),
}
EVERY: Final = ("X-Request-Id", "FusionAI-Version")

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


def every_error() -> Iterator[type[FusionError]]:
    """Every kind of error that a caller may meet."""
    yield from (*Refused.__subclasses__(), *Failed.__subclasses__())


def error_answers(dialect: Dialect) -> dict[str, Schema]:
    """An answer of a dialect for each kind of error, by the dialect's mark and the name of the kind's class."""
    mark = dialect.document.mark
    return {f"{mark}{kind.__name__}": _error_answer(kind, dialect) for kind in every_error()}


def _error_answer(kind: type[FusionError], dialect: Dialect) -> Schema:
    description, message = _SAID[kind.status]
    part, refusal = dialect.document, dialect.refuse(kind(message), "req_019a")
    return {
        "description": description,
        "headers": refer(*EVERY, *part.error_headers.get(kind.status, ())),
        "content": {JSON: {"schema": part.error(kind), "example": refusal.content}},
    }


def refer(*headers: str) -> dict[str, Schema]:
    """Headers of an answer, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}

"""What an error object may have beside its message, as schemas: the same in every dialect."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from producer.web.rows import Schema
from shared.errors import FusionError
from shared.permissions import PERMISSIONS

DETAILS: Final[Mapping[str, Schema]] = {
    "param": {"type": "string"},
    "reason": {
        "type": "string",
        "description": "A machine-readable cause, if more specific than the type. For a request refused by a provider, "
        "the error code of the provider, such as `context_length_exceeded`.",
    },
    "request_id": {"type": "string"},
    "permission": {
        "type": "string",
        "enum": [*PERMISSIONS],
        "description": "With 403 and the reason `insufficient_permissions`: what the API key may not do.",
    },
    "required_credits": {"type": "number", "description": "With 402: the maximum cost of the jobs."},
    "available_credits": {"type": "number", "description": "With 402: the available credits."},
    "held_credits": {"type": "number", "description": "With 402: the credits held for unfinished jobs."},
    "held_by_jobs": {"type": "integer", "description": "With 402: the number of unfinished jobs."},
    "max_tokens": {
        "type": "integer",
        "description": "With 402: the largest `max_tokens` per job that the balance covers.",
    },
    "jobs": {"type": "integer", "description": "With 402: the number of jobs in the request."},
    "fitting_jobs": {
        "type": "integer",
        "description": "With 402: how many jobs, counted from the first, the balance covers.",
    },
    "budget": {
        "type": "object",
        "description": "With 402 and the reason `key_budget_exceeded`: the budget of the API key. The credits needed, "
        "available and held beside it are then those of the budget.",
        "required": ["period", "credits", "used_credits", "held_credits", "renews_at"],
        "properties": {
            "period": {"type": "string", "enum": ["day", "month", "total"]},
            "credits": {"type": "number"},
            "used_credits": {"type": "number"},
            "held_credits": {"type": "number"},
            "renews_at": {"type": ["integer", "null"], "description": "Unix time; null: never."},
        },
    },
}


def coded(codes: Iterable[str]) -> Schema:
    """An error body `{"error": {"code", "message"}}`, whose code is one of these words."""
    return {
        "description": "The body of every error response.",
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "enum": list(codes)},
                    "message": {"type": "string"},
                    **DETAILS,
                },
            }
        },
    }


def coded_as(name: str, code_of: Callable[[int], str]) -> Callable[[type[FusionError]], Schema]:
    """What of such a body, a component of that name, one error has: the code of its status."""

    def schema(kind: type[FusionError]) -> Schema:
        own = {"properties": {"error": {"properties": {"code": {"const": code_of(kind.status)}}}}}
        return {"allOf": [{"$ref": f"#/components/schemas/{name}"}, own]}

    return schema

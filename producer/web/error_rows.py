"""What an error object may have beside its message, as schemas: the same in every dialect."""

from collections.abc import Mapping
from typing import Final

from producer.web.rows import Schema

DETAILS: Final[Mapping[str, Schema]] = {
    "param": {"type": "string"},
    "reason": {
        "type": "string",
        "description": "A machine-readable cause, if more specific than the type. For a request refused by a provider, "
        "the error code of the provider, such as `context_length_exceeded`.",
    },
    "request_id": {"type": "string"},
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
}

"""How a client behaves, beside what it says: how long it waits, what it tries again, and under which key. Pure."""

from collections.abc import Mapping
from typing import Final

#: Where `fusionai up` serves, and where a client goes that is told no other place.
LOCAL_URL: Final = "http://127.0.0.1:8000/v1"
#: The seed's: tries after the first, and seconds for an answer and for the silence in a stream.
MAX_RETRIES: Final = 3
TIMEOUT_SECONDS: Final = 30.0
STREAM_TIMEOUT_SECONDS: Final = 120.0
#: So long before a client gives up it wants its answer: a 504 that names the job instead of nothing.
SPARE_SECONDS: Final = 2.0
#: The longest pause that a server may ask for and is waited for within a call: the limits of the API renew each minute.
LONGEST_ASKED_SECONDS: Final = 60.0
#: The least time between two looks at a job: a server that is about to stop answers early.
LOOK_SECONDS: Final = 0.5
#: Calls that wait for a job.
WAITING: Final = frozenset(
    {"/chat/completions", "/completions", "/embeddings", "/images", "/images/generations", "/responses"}
)


def preference(timeout: float) -> str:
    """`Prefer`, for a client that gives up after so many seconds; who waits for less than twice the spare has half."""
    return f"wait={max(timeout - SPARE_SECONDS, timeout / 2):.10g}"


def stands(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer is one to keep that the official SDK would try again: a conflict which no waiting ends."""
    return status == 408 or (status == 409 and "retry-after" not in headers)

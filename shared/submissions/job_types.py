"""The types of jobs, the url that a batch line of each has, and whose events their ends may have. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

JobType = Literal["chat.completion", "embedding", "image"]
JOB_TYPES: Final[tuple[JobType, ...]] = get_args(JobType)

#: What `jobs.owed_events` says of a job whose end has an event of OpenAI's Responses API beside its own.
RESPONSE_EVENTS: Final = "responses"
#: The same of a job whose `callback_url` is to have the event of its end.
CALLBACK: Final = "callback"

#: The url of a batch line of each type.
URLS: Final[Mapping[str, str]] = {
    "chat.completion": "/v1/chat/completions",
    "embedding": "/v1/embeddings",
    "image": "/v1/images/generations",
}
#: Urls of batch lines in the form of a dialect (`shared.dialects.LINE_FORMATS`), and their types.
_OF_DIALECTS: Final[Mapping[str, JobType]] = {
    "/v1/responses": "chat.completion",
    "/v1/messages": "chat.completion",
}
#: The type of a batch line by its url; `/v1/images` is another name.
ENDPOINTS: Final[Mapping[str, JobType]] = {
    **{URLS[type]: type for type in JOB_TYPES},
    "/v1/images": "image",
    **_OF_DIALECTS,
}

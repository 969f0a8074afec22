"""Euqai's part of the document, and its object of an image that was made."""

from typing import Any, Final

from typing_extensions import TypedDict

from producer.dialects.euqai import manners
from producer.objects import Tokens, UsageDetails
from producer.openapi import requests
from producer.web import error_rows, rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.rows import Schema
from shared.objects.fields import Time


class EuqaiPicture(TypedDict):
    """An image in base64, and the prompt that it was made from."""

    b64_json: str
    revised_prompt: str


class EuqaiImages(TypedDict):
    """The answer to a request for an image."""

    created: Time
    data: list[EuqaiPicture]
    usage: Tokens
    usage_details: UsageDetails


def _request() -> Schema:
    said = (
        "A chat completion, as the native one, of `euqai-fusion-v1`. Images must be base64 data. With the response "
        "format `json_object` the answer is a valid JSON object, and `stream` has no effect. Defaults: `max_tokens` "
        "6144, `temperature` 0.7, `top_p` 0.8, `repetition_penalty` 1.1."
    )
    return {**requests.chat_of_named_model(), "description": said}


def _schemas() -> dict[str, Any]:
    return {"EuqaiChatRequest": _request(), "EuqaiError": error_rows.coded(manners.CODES)}


PART: Final = DocumentPart(
    about="The paths under `/euqai/v1` speak Euqai's API: text, image analysis and image generation by one model.\n",
    tags={"Euqai": "Chat completions in Euqai's API."},
    security={"EuqaiKey": {"type": "http", "scheme": "bearer"}},
    error=error_rows.coded_as("EuqaiError", manners.code_of),
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=_schemas,
    headers=rate_headers.SCHEMAS,
    mark="Euqai",
)

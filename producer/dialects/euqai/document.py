"""Euqai's part of the document, and its object of an image that was made."""

from typing import Any, Final

from typing_extensions import TypedDict

from producer.dialects.euqai import manners
from producer.objects import Tokens, UsageDetails
from producer.openapi import requests
from producer.web import rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.error_rows import DETAILS
from producer.web.rows import Schema
from shared.errors import FusionError
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


_ERROR: Final[Schema] = {
    "description": "The body of every error response.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "enum": list(manners.CODES)},
                "message": {"type": "string"},
                **DETAILS,
            },
        }
    },
}


def _error(kind: type[FusionError]) -> Schema:
    own = {"properties": {"error": {"properties": {"code": {"const": manners.code_of(kind.status)}}}}}
    return {"allOf": [{"$ref": "#/components/schemas/EuqaiError"}, own]}


def _request() -> Schema:
    said = (
        "A chat completion, as the native one, of `euqai-fusion-v1`. Images must be base64 data. With the response "
        "format `json_object` the answer is a valid JSON object, and `stream` has no effect. Defaults: `max_tokens` "
        "6144, `temperature` 0.7, `top_p` 0.8, `repetition_penalty` 1.1."
    )
    return {**requests.chat_of_named_model(), "description": said}


def _schemas() -> dict[str, Any]:
    return {"EuqaiChatRequest": _request(), "EuqaiError": _ERROR}


PART: Final = DocumentPart(
    about="The paths under `/euqai/v1` speak Euqai's API: text, image analysis and image generation by one model.\n",
    tags={"Euqai": "Chat completions in Euqai's API."},
    security={"EuqaiKey": {"type": "http", "scheme": "bearer"}},
    error=_error,
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=_schemas,
    headers=rate_headers.SCHEMAS,
    mark="Euqai",
)

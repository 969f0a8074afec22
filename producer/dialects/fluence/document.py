"""Fluence's part of the document."""

from typing import Final

from producer.dialects.fluence import manners
from producer.openapi import requests
from producer.web import error_rows, rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart

PART: Final = DocumentPart(
    about="The paths under `/fluence/v1` speak Fluence's API; each key may send 100 requests a minute and 1,000 an "
    "hour, beside the limit of its plan.\n",
    tags={"Fluence": "Chat completions in Fluence's API."},
    security={"FluenceKey": {"type": "http", "scheme": "bearer"}},
    error=error_rows.coded_as("FluenceError", manners.code_of),
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=lambda: {
        "FluenceChatRequest": requests.chat_of_named_model(),
        "FluenceError": error_rows.coded(manners.CODES),
    },
    headers=rate_headers.SCHEMAS,
    mark="Fluence",
)

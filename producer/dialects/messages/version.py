"""The header that every request must have."""

from starlette.requests import Request

from shared.errors import InvalidRequest


def check_version(request: Request) -> None:
    """400 for a request without `anthropic-version`; which one it says makes no difference."""
    if not request.headers.get("anthropic-version", "").strip():
        raise InvalidRequest("anthropic-version: header is required", param="anthropic-version")

"""A label by which lists are narrowed, as their forms have it."""

from producer.console.api import ApiError


def asked(text: str) -> dict[str, str]:
    """The API's parameter of a label, written NAME=VALUE; nothing for an empty text; ApiError: it is no label.

    >>> asked("team=growth")
    {'metadata.team': 'growth'}
    """
    if not text:
        return {}
    name, equals, value = text.partition("=")
    if not (name and equals):
        message = "write it as name=value, such as team=growth"
        raise ApiError(400, {"message": message, "type": "invalid_request", "param": "metadata"})
    return {f"metadata.{name}": value}

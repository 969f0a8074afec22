"""Checks the shape of a whole answer, and names the field that is wrong."""

from typing import Any, Final

from shared.errors import ProviderError

#: Our code for it: asked again, the provider would answer the same, and be paid again.
SHAPE: Final = "shape"
#: More choices or tool calls than any request asks for.
MOST_PARTS: Final = 1000


def wrong(path: str, what: str) -> ProviderError:
    """The error that names the field; nothing of what stands in it."""
    message = f"invalid response from the provider: {path} {what}"
    return ProviderError(message, upstream_status=200, code=SHAPE)


def lacking(error: Exception, of: str = "response") -> ProviderError:
    """The same, where no check foresaw what is wrong."""
    what = f"invalid {of} from the provider: it does not follow the protocol ({type(error).__name__})"
    return ProviderError(what, upstream_status=200, code=SHAPE)


def place(value: Any, path: str, most: int = MOST_PARTS) -> int | None:
    """An index: a number from 0 on and below `most`, also as text or as a float; None when there is none."""
    if type(value) is int and 0 <= value < most:
        return value
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < most:
        raise wrong(path, "is not a valid index")
    return value


def text(value: Any, path: str) -> str:
    """A text that may be missing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(path, "is not a string")
    return value

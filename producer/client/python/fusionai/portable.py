"""Errors that another process can be given: pickled and copied whole, but without the key and what was asked.

An exception whose class takes other arguments than it has `args` breaks a pool of processes that it is raised in.
"""

from typing import Any, Self

_OF_A_BODY = ("content-encoding", "content-length", "transfer-encoding")
_SECRET = ("authorization", "x-api-key", "proxy-authorization", "cookie")


class Portable(Exception):
    """An error that is made again from what it has, and not from arguments."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __copy__(self) -> Self:
        again, of = reduced(self)
        return again(*of)  # type: ignore[no-any-return]


def reduced(error: Any) -> tuple[Any, ...]:
    """How an error is made again, as `__reduce__` says it."""
    state = {name: _bare(value) for name, value in vars(error).items()}
    return _again, (type(error), error.args, state)


def _again(kind: Any, args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error


def _bare(value: Any) -> Any:
    """A request without its body and its key; a response with the body that was read, of such a request."""
    kind = type(value)
    if kind.__name__ == "Request" and hasattr(value, "method"):
        return kind(value.method, value.url, headers=_headers(value, _SECRET))
    if kind.__name__ == "Response" and hasattr(value, "status_code"):
        return kind(
            value.status_code,
            headers=_headers(value, (*_OF_A_BODY, "set-cookie")),
            content=getattr(value, "_content", b""),
            request=_bare(value.request),
        )
    return value


def _headers(of: Any, left_out: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in of.headers.multi_items() if name.lower() not in left_out]

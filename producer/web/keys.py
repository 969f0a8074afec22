"""Reads the API key that a request carries: from one header, of those that its dialect takes it from."""

from collections.abc import Mapping

from shared.errors import InvalidRequest, Unauthorized

#: Headers in which clients of some API or other send their keys: no two of them may come together.
KEY_HEADERS = ("authorization", "x-api-key", "infuzu-api-key")


def read_key(headers: Mapping[str, str], *, names: tuple[str, ...], missing: str) -> str:
    """The key, from whichever of these headers (in lower case) was sent: `Bearer <key>` in `authorization`.

    400 for two authentication headers, 401 for none of them, of which `missing` says what is wanted.
    """
    known = {*KEY_HEADERS, *names}
    given = [name.lower() for name, _ in headers.items() if name.lower() in known]
    if len(given) > 1:
        raise InvalidRequest(f"more than one authentication header: {', '.join(given)}; send only one")
    if not given or given[0] not in names:
        raise Unauthorized(missing)
    value = headers[given[0]]
    return _bearer(value) if given[0] == "authorization" else value.strip()


def read_bearer(headers: Mapping[str, str]) -> str:
    """The key of a dialect that takes it from `Authorization: Bearer <API key>` alone; errors as of `read_key`."""
    missing = "missing API key: send it in the header Authorization: Bearer <API key>"
    return read_key(headers, names=("authorization",), missing=missing)


def _bearer(value: str) -> str:
    scheme, _, key = value.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized("invalid Authorization header: must be 'Bearer <API key>'")
    return key.strip()

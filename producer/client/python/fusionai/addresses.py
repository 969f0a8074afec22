"""What is wrong with the address of a server, and with a key, in words that have neither of the two in them. Pure."""

from urllib.parse import urlsplit


def fault_of(address: str) -> str | None:
    """What is wrong with a base URL, to be said after its name; None: nothing.

    >>> fault_of("http://127.0.0.1:8000/v1")
    >>> fault_of("https://me:secret@host/v1")
    'has credentials in it: the key alone is sent'
    """
    try:
        found = urlsplit(address)
        host, _ = found.hostname, found.port
    except ValueError:
        return "is not a URL"
    if found.scheme not in ("http", "https") or not host or not address.isprintable() or " " in address:
        return "must be http:// or https://, a host and a path, as https://api.example.com/v1"
    if "@" in found.netloc:
        return "has credentials in it: the key alone is sent"
    return "must not have a query or a fragment" if found.query or found.fragment else None


def fault_of_key(key: str) -> str | None:
    """What is wrong with an API key that no header takes; None: nothing."""
    if key.isascii() and key.isprintable() and " " not in key:
        return None
    return "the API key has a character in it that no key has"

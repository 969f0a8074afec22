"""Signed links to documents of invoices: who has one needs no key, for a day. What is signed is one invoice's id."""

import hashlib
import hmac
import re
from functools import lru_cache

from shared import clock, key_secrets
from shared.objects.invoices import InvoiceLinks
from shared.settings import settings

#: How long a link holds, in seconds.
LINK_SECONDS = 86_400
_NAME = re.compile(r"(inv_[0-9a-f]{1,64})\.(html|pdf)")


def make(invoice_id: str) -> InvoiceLinks:
    """The links of an invoice, from now on."""
    expires = clock.now_seconds() + LINK_SECONDS
    base = settings().public_url.rstrip("/").removesuffix("/v1")
    html, pdf = (
        f"{base}/v1/documents/{name}?expires={expires}&signature={_signature(name, expires, key_secrets.in_force())}"
        for name in (f"{invoice_id}.html", f"{invoice_id}.pdf")
    )
    return {"object": "invoice.links", "html": html, "pdf": pdf, "expires_at": expires}


def opened(name: str, expires: str, signature: str) -> tuple[str, str] | None:
    """The invoice's id and the format of a link that is ours and has not expired."""
    found = _NAME.fullmatch(name)
    if found is None or not (expires.isascii() and expires.isdigit() and len(expires) < 16):
        return None
    given = signature.encode("utf-8", "replace")
    ours = [_signature(name, int(expires), secret) for secret in key_secrets.accepted()]
    signed = [hmac.compare_digest(one.encode(), given) for one in ours]
    return (found[1], found[2]) if any(signed) and clock.now_seconds() <= int(expires) else None


def _signature(name: str, expires: int, secret: str) -> str:
    return hmac.new(_key(secret), f"document {name} {expires}".encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=16)
def _key(secret: str) -> bytes:
    """The key of these links alone: what is signed for one thing is worth nothing for another."""
    return hmac.new(secret.encode(), b"fusionai document links", hashlib.sha256).digest()

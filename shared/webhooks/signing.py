"""Webhook signatures, in two conventions at once. Pure: no clock, no network, no database.

Every delivery carries both, so that a receiver verifies with whichever library it has:

* `FusionAI-Signature: t=<unix>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>`, keyed by the bytes of the whole
  `whsec_…` string;
* Standard Webhooks (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
  `webhook-signature: v1,<base64>`: HMAC-SHA256 of `<id>.<timestamp>.<body>`, keyed by what the base64 after
  `whsec_` decodes to.

While a rotation overlaps there is one signature a secret: a second `v1=` in the first convention,
space-separated in the second.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
#: Random bytes in a new secret; Standard Webhooks asks for 24 to 64.
SECRET_BYTES = 32
#: How far a signature's time may be from now, either way; the same five minutes as the official libraries.
TOLERANCE_SECONDS = 300
#: A timestamp longer than this is no timestamp (and int() refuses 5,000 digits with an error of its own).
_TIMESTAMP_DIGITS = 12


def secret_of(random: bytes) -> str:
    """The secret that stands for `random`: `whsec_` and its base64.

    The caller brings `secrets.token_bytes(SECRET_BYTES)`. ValueError unless there are 24 to 64 bytes.
    """
    if not 24 <= len(random) <= 64:
        raise ValueError(f"a webhook secret must have 24 to 64 random bytes, not {len(random)}")
    return PREFIX + base64.b64encode(random).decode("ascii")


def headers(event_id: str, body: bytes, timestamp: int, secrets: Sequence[str]) -> dict[str, str]:
    """The four headers of one delivery; `timestamp` in seconds since the epoch, of this attempt.

    `secrets` are all that are valid now, the newest first. ValueError when there is none or one is malformed.
    """
    if not secrets:
        raise ValueError("at least one secret is required to sign a delivery")
    fusionai = [f"v1={_fusionai(secret, timestamp, body)}" for secret in secrets]
    standard = [f"v1,{_standard(secret, event_id, timestamp, body)}" for secret in secrets]
    return {
        "FusionAI-Signature": ",".join([f"t={timestamp}", *fusionai]),
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(standard),
    }


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    *,
    now: int,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> bool:
    """Whether `body` came from the holder of `secret`, by BOTH conventions, and lately (`now` in seconds).

    `body` is the bytes as received, before any parsing; header names in any case. Whatever is wrong with the
    headers is False; only a malformed `secret`, the receiver's own, is a ValueError. Constant time.
    """
    given = {name.lower(): value for name, value in headers.items()}
    times = [timestamp(fusionai_time(given)), timestamp(given.get("webhook-timestamp", ""))]
    fresh = all(at is not None and abs(now - at) <= tolerance_seconds for at in times)
    fusionai = fusionai_holds(given, body, secret)
    standard = standard_holds(given, body, secret)
    return fresh and fusionai and standard


def fusionai_time(given: Mapping[str, str]) -> str:
    """The one time that `fusionai-signature` has, as it stands there; `given`: headers, names in lower case."""
    times = [value for name, value in _fields(given) if name == "t"]
    return times[0] if len(times) == 1 else ""


def fusionai_holds(given: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether a signature of `fusionai-signature` is that of its time and the body, however old."""
    signed_at = timestamp(fusionai_time(given))
    if signed_at is None:
        return False
    return _among(_fusionai(secret, signed_at, body), [value for name, value in _fields(given) if name == "v1"])


def standard_holds(given: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether a signature of `webhook-signature` is that of the id, the time and the body, however old."""
    event_id, signed_at = given.get("webhook-id", ""), timestamp(given.get("webhook-timestamp", ""))
    if signed_at is None or not event_id:
        return False
    signatures = [entry.partition(",") for entry in given.get("webhook-signature", "").split(" ")]
    expected = _standard(secret, event_id, signed_at, body)
    return _among(expected, [value for version, _, value in signatures if version == "v1"])


def timestamp(text: str) -> int | None:
    """Seconds since the epoch, when that is what the text is."""
    whole = text.isascii() and text.isdigit() and len(text) <= _TIMESTAMP_DIGITS
    return int(text) if whole else None


def _fields(given: Mapping[str, str]) -> list[tuple[str, str]]:
    parts = [field.strip().partition("=") for field in given.get("fusionai-signature", "").split(",")]
    return [(name, value) for name, _, value in parts]


def _among(expected: str, given: Sequence[str]) -> bool:
    """Compare with every one and stop early at none, so that time tells nothing."""
    # Bytes, since compare_digest refuses text beyond ASCII; undecodable header bytes arrive as surrogates.
    matches = [hmac.compare_digest(expected.encode(), one.encode(errors="surrogatepass")) for one in given]
    return any(matches)


def _fusionai(secret: str, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()


def _standard(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    content = b"%b.%d.%b" % (event_id.encode(errors="surrogatepass"), timestamp, body)
    return base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode("ascii")


def _key(secret: str) -> bytes:
    """The bytes after `whsec_`. ValueError when the secret is not one of ours; it never quotes the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not key:
        raise ValueError("a webhook secret must be whsec_ followed by base64")
    return key

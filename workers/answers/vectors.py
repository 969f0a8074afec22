"""Embeddings in the encoding that was asked for, also from providers that know only one of the two."""

import base64
import struct
from typing import Any

from workers.answers.shape import wrong

#: A 32-bit float, little-endian, as OpenAI packs them.
_BYTES = 4


def encoded(vector: Any, wanted: str | None, path: str) -> list[float] | str:
    """A vector as numbers or, where `wanted` is base64, packed."""
    if not vector or not isinstance(vector, list | str):
        raise wrong(path, "is not a valid vector")
    try:
        if wanted == "base64" and isinstance(vector, list):
            return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        if wanted != "base64" and isinstance(vector, str):
            packed = base64.b64decode(vector, validate=True)
            return list(struct.unpack(f"<{len(packed) // _BYTES}f", packed))
    except (struct.error, ValueError, OverflowError):
        raise wrong(path, "is not a valid vector") from None
    return vector

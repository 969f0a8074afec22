"""The bodies that arrived, when a script wants them kept: bounded, the oldest dropped, and the answers say so."""

from collections import Counter, deque
from hashlib import blake2b
from typing import Any

import orjson

#: The record keeps this many calls and bytes.
MAX_RECORDED = 200_000
MAX_RECORDED_BYTES = 256 * 1024 * 1024


class Record:
    """Provider, path, body and whether it met a fault, of each call while `on`."""

    def __init__(self) -> None:
        self.replace(on=False)

    def replace(self, *, on: bool) -> None:
        """Forget all."""
        self.on = on
        self._rows: deque[tuple[str, str, bytes, bool]] = deque()
        self._bytes = 0
        self._dropped = 0

    def keep(self, provider: str, path: str, body: bytes, faulty: bool) -> None:
        """Keep a call."""
        self._rows.append((provider, path, body, faulty))
        self._bytes += len(body)
        while len(self._rows) > MAX_RECORDED or self._bytes > MAX_RECORDED_BYTES:
            self._bytes -= len(self._rows.popleft()[2])
            self._dropped += 1

    def search(self, text: str) -> dict[str, Any]:
        """How many recorded requests have this text in their body."""
        forms = spellings(text)
        found = [row for row in self._rows if any(form in row[2] for form in forms)]
        return self._answer(found) | {"contains": text}

    def fingerprints(self) -> dict[str, Any]:
        """How often each recorded body arrived, and how often it met a fault."""
        total: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        for _, _, body, faulty in self._rows:
            key = fingerprint(body).hex()
            total[key] += 1
            faults[key] += faulty
        rows = {key: {"total": count, "faults": faults[key]} for key, count in total.items()}
        return self._answer(list(self._rows)) | {"fingerprints": rows}

    def _answer(self, rows: list[tuple[str, str, bytes, bool]]) -> dict[str, Any]:
        faults, distinct = sum(row[3] for row in rows), len({row[2] for row in rows})
        state = {"recording": self.on, "dropped": self._dropped}
        return {"count": len(rows), "distinct": distinct, "faults": faults} | state


def fingerprint(body: bytes) -> bytes:
    """Eight bytes that stand for a body."""
    return blake2b(body, digest_size=8).digest()


def spellings(text: str) -> tuple[bytes, ...]:
    """The ways in which a text can stand in a body: as it is, and as JSON escapes it."""
    plain = text.encode()
    inside = orjson.dumps(text)[1:-1]
    escaped = "".join(one if one.isascii() else _escape(one) for one in inside.decode()).encode()
    return tuple(dict.fromkeys((plain, inside, escaped)))


def _escape(one: str) -> str:
    units = one.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

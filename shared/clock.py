"""The only reader of time and maker of ids.

Times in rows are integers: microseconds since the Unix epoch, UTC. Durations carry their unit in the name.
A test shifts the wall clock with `shift`; the monotonic clock is never shifted.
"""

import random
import secrets
import threading
import time
from datetime import UTC, datetime

MICROS = 1_000_000

#: Seeded by the system once a process. An id is a name, never a secret: a key or a signature guards what it names.
_random = random.Random(secrets.randbits(256))
_shift_micros = 0
_id_lock = threading.Lock()
_last_id = 0


def now_micros() -> int:
    """The time, in microseconds since the epoch, as shifted by a test."""
    return time.time_ns() // 1000 + _shift_micros


def now_seconds() -> int:
    """The time in whole seconds since the epoch."""
    return now_micros() // MICROS


def monotonic() -> float:
    """Seconds on a clock that never jumps; for pauses and deadlines inside one process."""
    return time.monotonic()


def shift_micros() -> int:
    """How far a test has moved the wall clock; the database's own time is moved by as much."""
    return _shift_micros


def shift(micros: int) -> None:
    """Move the wall clock of this process forward (or back) by `micros`: virtual time for tests."""
    global _shift_micros
    _shift_micros += micros


def utc(micros: int) -> datetime:
    """The same instant as an aware datetime."""
    return datetime.fromtimestamp(micros / MICROS, UTC)


def seconds(micros: int | None) -> int | None:
    """An instant in whole seconds, as the API shows it; None stays None."""
    return None if micros is None else micros // MICROS


def month(micros: int) -> str:
    """The calendar month of an instant, UTC: `2026-11`."""
    return utc(micros).strftime("%Y-%m")


def new_id(prefix: str) -> str:
    """A fresh id such as `job_019a…`: 48 bits of milliseconds, a 16-bit count, 64 random bits, as 32 hex digits.

    Ids of one process sort in the order they were made, so that a B-tree appends and a list by id is a list by time.
    """
    global _last_id
    with _id_lock:
        _last_id = number = max(_last_id + 1, now_micros() // 1000 << 16)
    return f"{prefix}_{number << 64 | _random.getrandbits(64):032x}"

"""Time and ids: the only module that reads the clock or makes an id.

Times in rows are integers: microseconds since the Unix epoch, UTC. Durations carry their unit in the name.

Rows are written by one machine and judged by another, whose clocks differ. So there is one clock for all of them, the
database server's: each process learns it again every few seconds (`learn`, called by `shared.db`) and counts on from
there by its own steady clock. A host whose clock is off, or is set, judges no row wrongly, and signs with the right
time; the one clock that must be right is the database server's.

A test moves the time of everything in this process with `shift`, and this host's clock alone with `skew`; the monotonic
clock is never shifted.
"""

import os
import random
import secrets
import threading
import time
from datetime import UTC, datetime

MICROS = 1_000_000

#: Seeded by the system once a process. An id is a name, never a secret: a key or a signature guards what it names.
_random = random.Random(secrets.randbits(256))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _random.seed(secrets.randbits(256)))
_shift_micros = 0
_skew_micros = 0
#: The database's time when it was last learned, and `steady_micros` then; None: this host's clock is all there is.
_learned: tuple[int, int] | None = None
#: When it was last asked for, of `steady_micros`.
_asked = 0
#: Goes on while the machine sleeps, where there is such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_id_lock = threading.Lock()
_last_id = 0

#: For how long what was learned of the database's time is good, in microseconds.
LEARN_MICROS = 10 * MICROS
#: An answer that took longer tells its time too roughly to replace an earlier one, unless that is this much older.
PROMPT_MICROS, STALE_MICROS = 20_000, 60 * MICROS


def now_micros() -> int:
    """The time that all processes share, in microseconds since the epoch, as shifted by a test."""
    if (learned := _learned) is None:
        return wall_micros()
    return learned[0] + steady_micros() - learned[1] + _shift_micros


def wall_micros() -> int:
    """What this host's own clock says, which counts only until the database's is known."""
    return time.time_ns() // 1000 + _skew_micros + _shift_micros


def now_seconds() -> int:
    """The time in whole seconds since the epoch."""
    return now_micros() // MICROS


def monotonic() -> float:
    """Seconds on a clock that never jumps; for pauses and deadlines inside one process."""
    return time.monotonic()


def elapsed() -> float:
    """Seconds on a steady clock that virtual time moves as well: for how long a process has watched what is in rows.

    No step of a wall clock moves it; a machine's sleep does.
    """
    return (steady_micros() + _shift_micros) / MICROS


def is_learned() -> bool:
    """Whether the database's time is known, and has been asked for of late."""
    return _learned is not None and steady_micros() - _asked < LEARN_MICROS


def learn(database_micros: int, asked: int) -> None:
    """Take the database's time over, as answered (unshifted) to what was asked at `asked`, of `steady_micros`."""
    global _learned, _asked
    answered = _asked = steady_micros()
    if _learned is None or answered - asked < PROMPT_MICROS or answered - _learned[1] > STALE_MICROS:
        _learned = (database_micros, (asked + answered) // 2)


def unlearn() -> None:
    """Forget it: a test's database is another machine's no longer."""
    global _learned
    _learned = None


def steady_micros() -> int:
    """Microseconds on a clock that nobody sets; it goes on while the machine sleeps."""
    return time.clock_gettime_ns(_STEADY) // 1000


def shift_micros() -> int:
    """How far a test has moved the time of this process; the database's own is moved by as much."""
    return _shift_micros


def shift(micros: int) -> None:
    """Move the time of this process, and of the database as it sees it, by `micros`: virtual time for tests."""
    global _shift_micros
    _shift_micros += micros


def skew(micros: int) -> None:
    """Put this host's clock ahead (or back) by `micros`, and nobody else's: for tests."""
    global _skew_micros
    _skew_micros += micros


def utc(micros: int) -> datetime:
    """The same instant as an aware datetime."""
    return datetime.fromtimestamp(micros / MICROS, UTC)


def seconds(micros: int | None) -> int | None:
    """An instant in whole seconds, as the API shows it; None stays None."""
    return None if micros is None else micros // MICROS


def month(micros: int) -> str:
    """The calendar month of an instant, UTC: `2026-11`."""
    return utc(micros).strftime("%Y-%m")


def day(micros: int) -> str:
    """The day of an instant, UTC: `2026-11-29`."""
    return utc(micros).strftime("%Y-%m-%d")


def day_begin(day: str, later: int = 0) -> int:
    """The first microsecond of a day, UTC (`2026-11-29`), or of one so many days later."""
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() + later * 86_400) * MICROS


def least_id(prefix: str, micros: int) -> str:
    """No id that was made at this instant or later is less."""
    return f"{prefix}_{max(micros, 0) // 1000 << 80:032x}"


def renew_ids() -> None:
    """Have new ids begin at the present instant again: when virtual time ends, for tests."""
    global _last_id
    with _id_lock:
        _last_id = 0


def new_id(prefix: str) -> str:
    """A fresh id such as `job_019a…`: 48 bits of milliseconds, a 16-bit count, 64 random bits, as 32 hex digits.

    Ids of one process sort in the order they were made, so that a B-tree appends and a list by id is a list by time.
    """
    return new_ids(prefix, 1)[0]


def new_ids(prefix: str, count: int) -> list[str]:
    """So many of them, in the order in which they sort: half of what it takes to make each by itself."""
    global _last_id
    with _id_lock:
        first = max(_last_id + 1, now_micros() // 1000 << 16)
        _last_id = first + count - 1
    bits = _random.getrandbits
    return [f"{prefix}_{number << 64 | bits(64):032x}" for number in range(first, first + count)]

"""Retention periods: up to which instant rows that are over may be removed. Rows of money stay for ever."""

from shared import clock
from shared.settings import settings

_DAY_MICROS = 86_400 * clock.MICROS
#: Before any instant: nothing is removed.
NEVER = 0


def jobs_until() -> int:
    """Jobs that ended by then are not kept, in microseconds; NEVER: all are."""
    return _until(settings().keep_jobs_days)


def events_until() -> int:
    """The same of events, with their deliveries."""
    return _until(settings().keep_events_days)


def files_until() -> int:
    """The same of files, by when they were made."""
    return _until(settings().keep_files_days)


def _until(days: int) -> int:
    return clock.now_micros() - days * _DAY_MICROS if days else NEVER

"""Named points at which a test can kill the process; a production process passes them for the price of one call.

`FUSIONAI_CRASH_AT=settle.before_commit:3` kills with SIGKILL when that point is reached the third time. POINTS is the
whole list: a point that is not in it cannot be reached, and the crash suite arms every one.
"""

import os
import signal
import threading
from functools import cache

from shared.settings import settings

POINTS = (
    "accept.before_commit",
    "accept.after_commit",
    "wake.after_publish",
    "defer.after_end",
    "feed.after_mark",
    "feed.after_publish",
    "lease.before_commit",
    "lease.after_commit",
    "lease.first",
    "lease.before_late",
    "lease.after_late",
    "call.before",
    "call.after",
    "requeue.after_commit",
    "settle.before_commit",
    "settle.after_commit",
    "tell.after",
    "cancel.after_commit",
    "cancel_several.after_commit",
    "audit.before_commit",
    "credit.before_commit",
    "credit.after_commit",
    "deliver.after_claim",
    "deliver.after_send",
    "deliver.after_record",
    "lapse.before_commit",
    "lapse.after_commit",
    "expire.after_commit",
    "grant.before_commit",
    "grant.after_commit",
    "pay.after_begin",
    "pay.after_call",
    "pay.before_commit",
    "pay.after_commit",
    "batch.after_plan",
    "batch.after_begin",
    "batch.after_hold",
    "batch.after_release",
    "batch.after_slice",
    "batch.after_end",
    "batch.before_finish",
    "batch.after_finish",
)

_lock = threading.Lock()
#: How often the armed point has been passed.
_passed = 0


def point(name: str) -> None:
    """Die here when armed; otherwise nothing."""
    if name == _armed()[0]:
        _reach(name)


@cache
def _armed() -> tuple[str, int]:
    """The point that kills, or nothing, and at which passing; ValueError if it is none of ours."""
    name, _, nth = settings().crash_at.partition(":")
    if name and name not in POINTS:
        raise ValueError(f"FUSIONAI_CRASH_AT: unknown crash point {name!r}")
    return name, int(nth or 1)


def _reach(name: str) -> None:
    global _passed
    with _lock:
        _passed += 1
        if _passed != _armed()[1]:
            return
        if settings().crash_log:
            with open(settings().crash_log, "a") as log:
                log.write(f"{name}\n")
        os.kill(os.getpid(), signal.SIGKILL)

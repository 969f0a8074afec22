"""Named points at which a test can kill the process; a production process passes them for the price of one `if`.

`FUSIONAI_CRASH_AT=settle.before_commit:3` kills with SIGKILL when that point is reached the third time. POINTS is the
whole list: a point that is not in it cannot be reached, and the crash suite arms every one.
"""

import os
import signal
import threading

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
    "call.before",
    "call.after",
    "requeue.after_commit",
    "settle.before_commit",
    "settle.after_commit",
    "tell.after",
    "cancel.after_commit",
    "deliver.after_claim",
    "deliver.after_send",
    "deliver.after_record",
    "lapse.before_commit",
    "lapse.after_commit",
    "expire.after_commit",
    "batch.after_plan",
    "batch.after_begin",
    "batch.after_release",
    "batch.after_end",
    "batch.before_finish",
    "batch.after_finish",
)

_lock = threading.Lock()
_name, _, _count = settings().crash_at.partition(":")
_left = int(_count or 1)
if _name and _name not in POINTS:
    raise ValueError(f"FUSIONAI_CRASH_AT: unknown crash point {_name!r}")


def point(name: str) -> None:
    """Die here when armed; otherwise nothing."""
    if _name and name == _name:
        _reach(name)


def _reach(name: str) -> None:
    global _left
    with _lock:
        _left -= 1
        if _left != 0:
            return
        if settings().crash_log:
            with open(settings().crash_log, "a") as log:
                log.write(f"{name}\n")
        os.kill(os.getpid(), signal.SIGKILL)

"""What is wrong with a process's host, as the harness asks; found by Python on PYTHONPATH.

HOST_SKEW_MICROS: its clock, by so much (`skews`). HOST_HALTS_AT=settle.before_commit:FILE: the process halts at that
crash point, once, when FILE does not exist; it makes FILE then, and goes on when that has been removed.
"""

import os

if _given := os.environ.get("HOST_SKEW_MICROS"):
    from shared import clock, crash

    clock.skew(int(_given))
    _pass = crash.point

    def _point(name: str) -> None:
        """Pass a crash point, or halt there."""
        _pass(name)
        at, _, file = os.environ.get("HOST_HALTS_AT", "").partition(":")
        if name == at:
            os.environ.pop("HOST_HALTS_AT")
            _halt(file)

    def _halt(file: str) -> None:
        import threading

        open(file, "x").close()
        while os.path.exists(file):
            threading.Event().wait(0.02)

    crash.point = _point

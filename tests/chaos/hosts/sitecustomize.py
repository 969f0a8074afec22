"""Puts the clock of a process's host wrong, as the harness asks (`skews`); found by Python on PYTHONPATH."""

import os

if _given := os.environ.get("HOST_SKEW_MICROS"):
    from shared import clock

    clock.skew(int(_given))

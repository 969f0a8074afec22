"""Tests that are coroutines: each is run in an event loop of its own, of the kind that the processes have."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import uvloop


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test, as pytest runs it."""

    @wraps(test)
    def run(**given: Any) -> None:
        uvloop.run(test(**given))

    return run

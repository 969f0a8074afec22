"""How often a process looks for garbage: what it holds for long is set aside, and looked through seldom."""

import gc


def collect_seldom() -> None:
    """Called once all is loaded. Thousands of live jobs make each full collection long, and leave little to find."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

"""A rolling upgrade from the version that was released last, and back: `make test-upgrade`.

It needs that version's commit (`tests/chaos/older.py:RELEASED`), which a shallow clone lacks: `git fetch --unshallow`.
"""

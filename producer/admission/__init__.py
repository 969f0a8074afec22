"""Admission of a request: its key, its limits, its idempotency key; and the transaction that accepts it."""

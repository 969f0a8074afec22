"""`make demo`: the embedded stack does a batch, and everything about it is checked."""

"""Whether a request is taken: who asks, how much at once, what was asked before; and taking it."""

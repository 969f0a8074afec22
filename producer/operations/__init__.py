"""Each thing a caller can do, once, in canonical terms; dialects dress it."""

"""The states of a batch, and the lines of its file."""

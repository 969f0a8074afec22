"""What happens to batches between their file and their output: a process of its own, `python -m workers.batches`."""

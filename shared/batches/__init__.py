"""What can happen to a batch, and the lines of its file."""

"""What can happen to a job: its states, how it ends, its stream, what is counted of it."""

"""What is asked for: read, checked, priced at most, and made the rows of jobs."""

"""The Go client: its own tests, the table of behaviours, and its quick start and calls against a running stack."""

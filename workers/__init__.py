"""The worker processes: lease jobs, call providers, settle, notify, send webhooks, run batches, sweep."""

"""One worker process: its runtime (event loop and all that runs on it), its Celery tasks and consumer."""

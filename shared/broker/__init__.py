"""The Celery app, its transport, and the doorbell that wakes queues."""

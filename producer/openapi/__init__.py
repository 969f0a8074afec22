"""The API's own description: /openapi.json, built from the routes that there are, and /docs, which shows it."""

from producer.openapi.serving import describe, router

__all__ = ["describe", "router"]

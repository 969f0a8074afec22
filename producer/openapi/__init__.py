"""The OpenAPI document, /openapi.json, built from the routes; and /docs, which shows it."""

from producer.openapi.serving import describe, router

__all__ = ["describe", "router"]

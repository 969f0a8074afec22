"""The Celery app by its earlier name, which the service files of deployments give to Flower: `shared.broker.app`."""

from shared.broker.app import app

__all__ = ["app"]

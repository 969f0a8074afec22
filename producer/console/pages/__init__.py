"""The pages, a module each: the table of what each row of `producer.console.navigation` answers."""

from typing import Final

from producer.console.navigation import PAGES, NavigationPage
from producer.console.pages import (
    accounts,
    batches,
    credits,
    events,
    jobs,
    keys,
    models,
    new,
    overview,
    queues,
    usage,
    webhooks,
)
from producer.console.router import PageRouter

_ROUTERS: Final = {
    "overview": overview.router,
    "jobs": jobs.router,
    "batches": batches.router,
    "new": new.router,
    "usage": usage.router,
    "credits": credits.router,
    "models": models.router,
    "webhooks": webhooks.router,
    "events": events.router,
    "keys": keys.router,
    "queues": queues.router,
    "accounts": accounts.router,
}

#: Each page, and what it answers.
BUILT: Final[tuple[tuple[NavigationPage, PageRouter], ...]] = tuple((page, _ROUTERS[page.module]) for page in PAGES)

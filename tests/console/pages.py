"""Every page of the console: by a name, with its path for a customer (`{job}` is an id of theirs), and its heading."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from producer.console import pages


@dataclass(frozen=True)
class ConsolePage:
    """A page as tests open it. `module`: the page of `producer.console.navigation` that it belongs to."""

    name: str
    module: str
    path: str
    operator: bool = False

    def url(self, ids: Mapping[str, str]) -> str:
        """Its path, for a customer with these ids."""
        return self.path.format(**ids)


#: Pages of modules that are not there are left out; a module with no row here fails a test (`modules_without`).
_ROWS: Final = (
    ConsolePage("overview", "overview", "/console"),
    ConsolePage("jobs", "jobs", "/console/jobs"),
    ConsolePage("jobs-filtered", "jobs", "/console/jobs?status=failed&type=chat.completion"),
    ConsolePage("jobs-none", "jobs", "/console/jobs?status=expired"),
    ConsolePage("job", "jobs", "/console/jobs/{job}"),
    ConsolePage("job-failed", "jobs", "/console/jobs/{failed}"),
    ConsolePage("job-image", "jobs", "/console/jobs/{image}"),
    ConsolePage("job-embedding", "jobs", "/console/jobs/{embedding}"),
    ConsolePage("batches", "batches", "/console/batches"),
    ConsolePage("batch", "batches", "/console/batches/{batch}"),
    ConsolePage("batch-running", "batches", "/console/batches/{running}?status=running"),
    ConsolePage("batch-retry", "batches", "/console/batches/{batch}/retry"),
    ConsolePage("new", "new", "/console/new"),
    ConsolePage("new-embedding", "new", "/console/new?type=embedding"),
    ConsolePage("new-image", "new", "/console/new?type=image"),
    ConsolePage("new-batch", "new", "/console/new?type=batch"),
    ConsolePage("usage", "usage", "/console/usage"),
    ConsolePage("credits", "credits", "/console/credits"),
    ConsolePage("transfers", "credits", "/console/credits/transfers"),
    ConsolePage("invoices", "credits", "/console/credits/invoices"),
    ConsolePage("invoice", "credits", "/console/credits/invoices/{invoice}"),
    ConsolePage("models", "models", "/console/models"),
    ConsolePage("webhooks", "webhooks", "/console/webhooks"),
    ConsolePage("webhook", "webhooks", "/console/webhooks/{webhook}"),
    ConsolePage("webhook-new", "webhooks", "/console/webhooks/new"),
    ConsolePage("webhook-edit", "webhooks", "/console/webhooks/{webhook}/edit"),
    ConsolePage("events", "events", "/console/events"),
    ConsolePage("event", "events", "/console/events/{event}"),
    ConsolePage("keys", "keys", "/console/keys"),
    ConsolePage("queues", "queues", "/console/queues", operator=True),
    ConsolePage("accounts", "accounts", "/console/accounts", operator=True),
    ConsolePage("account", "accounts", "/console/accounts/{account}", operator=True),
)
_BUILT = {page.module for page, _ in pages.BUILT}
PAGES: Final = tuple(row for row in _ROWS if row.module in _BUILT)
CUSTOMERS: Final = tuple(row for row in PAGES if not row.operator)


def modules_without() -> list[str]:
    """Modules of pages that no row opens."""
    return sorted(_BUILT - {row.module for row in PAGES})

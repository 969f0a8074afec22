"""The pages of the console, in the order of the navigation. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

Audience = Literal["customers", "operators"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its module in `producer.console.pages` (and the `here` of its template), its path and its title.

    One for operators is not shown to customers, and answers them with 404.
    """

    module: str
    path: str
    title: str
    section: str
    audience: Audience = "customers"


PAGES: Final = (
    Page("overview", "/console", "Overview", ""),
    Page("jobs", "/console/jobs", "Jobs", "Work"),
    Page("batches", "/console/batches", "Batches", "Work"),
    Page("new", "/console/new", "New", "Work"),
    Page("usage", "/console/usage", "Usage", "Money"),
    Page("credits", "/console/credits", "Credits", "Money"),
    Page("models", "/console/models", "Models", "Set up"),
    Page("webhooks", "/console/webhooks", "Webhooks", "Set up"),
    Page("events", "/console/events", "Events", "Set up"),
    Page("keys", "/console/keys", "Keys", "Set up"),
    Page("queues", "/console/queues", "Queues and workers", "Operator", "operators"),
    Page("accounts", "/console/accounts", "Accounts", "Operator", "operators"),
)

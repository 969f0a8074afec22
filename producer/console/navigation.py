"""The pages of the console, in the order of the navigation. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

Audience = Literal["customers", "operators"]


@dataclass(frozen=True, slots=True)
class NavigationPage:
    """A page: its module in `producer.console.pages` (and the `here` of its template), its path and its title.

    One for operators is not shown to customers, and answers them with 404.
    """

    module: str
    path: str
    title: str
    section: str
    audience: Audience = "customers"


PAGES: Final = (
    NavigationPage("overview", "/console", "Overview", ""),
    NavigationPage("jobs", "/console/jobs", "Jobs", "Work"),
    NavigationPage("batches", "/console/batches", "Batches", "Work"),
    NavigationPage("new", "/console/new", "New", "Work"),
    NavigationPage("usage", "/console/usage", "Usage", "Money"),
    NavigationPage("credits", "/console/credits", "Credits", "Money"),
    NavigationPage("models", "/console/models", "Models", "Set up"),
    NavigationPage("webhooks", "/console/webhooks", "Webhooks", "Set up"),
    NavigationPage("events", "/console/events", "Events", "Set up"),
    NavigationPage("keys", "/console/keys", "Keys", "Set up"),
    NavigationPage("queues", "/console/queues", "Queues and workers", "Operator", "operators"),
    NavigationPage("accounts", "/console/accounts", "Accounts", "Operator", "operators"),
)

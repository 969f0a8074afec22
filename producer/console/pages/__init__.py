"""The pages, a module each, which `producer.console.navigation` names; each has a `router`."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from producer.console.navigation import PAGES, Page
from producer.console.router import PageRouter


def built() -> Iterator[tuple[Page, PageRouter]]:
    """The pages whose modules are there, and what they answer."""
    for page in PAGES:
        name = f"{__name__}.{page.module}"
        if find_spec(name) is not None:
            yield page, import_module(name).router

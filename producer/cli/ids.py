"""Resolves a short id, `…a8a5c31b` as narrow tables show it, among the newest."""

from collections.abc import Callable

import click

from fusionai.plain.asked import Page
from shared.submissions.sizes import MOST_PAGE

#: How many of the newest rows are searched.
_NEWEST = MOST_PAGE


def whole(given: str, newest: Callable[[int], Page], what: str) -> str:
    """The id that ends as given after `…` (or `...`); any other is itself."""
    end = given.removeprefix("…").removeprefix("...")
    if end == given or not end:
        return given
    fitting = [str(row["id"]) for row in newest(_NEWEST)["data"] if str(row["id"]).endswith(end)]
    if len(fitting) != 1:
        number = "none" if not fitting else f"{len(fitting)}"
        raise click.UsageError(f"{number} of the newest {_NEWEST} {what} ends in {end}; give the whole id")
    return fitting[0]

"""Short ids, `…a8a5c31b` as narrow tables show them, and numbers of invoices: which one of the newest is meant."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from fusionai.plain import PlainClient
from shared.submissions.sizes import MOST_PAGE

#: How many of the newest rows are searched.
NEWEST: Final = MOST_PAGE
_LISTS: Final[Mapping[str, tuple[str, Callable[[PlainClient], Mapping[str, Any]]]]] = {
    "batch": ("batches", lambda client: client.batches(limit=NEWEST)),
    "event": ("events", lambda client: client.get("/events", order="desc", limit=NEWEST)),
    "invoice": ("invoices", lambda client: client.invoices(limit=NEWEST)),
    "job": ("jobs", lambda client: client.jobs(limit=NEWEST, include_results=False)),
    "key": ("keys used this month", lambda client: client.usage_by("key", limit=NEWEST)),
    "transfer": ("transfers", lambda client: client.transfers(limit=NEWEST)),
    "usage": ("rows of usage", lambda client: client.usage(limit=NEWEST)),
    "webhook": ("webhooks", lambda client: client.webhooks(limit=NEWEST)),
}
#: How many of the matching ids an error names.
_MOST_NAMED = 5


class Short(str):
    """An id as it was given: its end after `…` (or `...`), or an invoice's number. `kinds`: of what it may be."""

    kinds: tuple[str, ...]

    @property
    def end(self) -> str:
        """How the whole id ends."""
        return self.removeprefix("…").removeprefix("...")

    @property
    def number(self) -> int | None:
        """The number of an invoice, if it is one."""
        return int(self) if self.isdigit() else None


class Id(click.ParamType[str]):
    """An id of one of these kinds; a short one is made whole before the command is called (`api_command`)."""

    name = "id"

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        short = Short(value)
        short.kinds = self.kinds
        is_number = "invoice" in self.kinds and short.isascii() and short.isdigit() and len(short) < 16
        return short if is_number or short.end not in (short, "") else str(value)


def whole(client: PlainClient, given: Any) -> Any:
    """The one id that a short one means; a usage error where none or several fit. Anything else is itself."""
    if not isinstance(given, Short):
        return given
    if given.number is not None:
        return _numbered(client, given.number)
    names, lists = zip(*(_LISTS[kind] for kind in given.kinds), strict=True)
    ids = [str(row.get("id") or row["key_id"]) for newest in lists for row in newest(client)["data"]]
    return only(given, ids, f"newest {NEWEST} {' and '.join(names)}")


def only(given: Short, ids: Sequence[str], among: str) -> str:
    """The only one of these ids with the given end; a usage error if none has it, or several, which it names."""
    fitting = list(dict.fromkeys(id for id in ids if id.endswith(given.end)))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise click.UsageError(f"none of the {among} ends in {given.end}; give the whole id")
    named = ", ".join(fitting[:_MOST_NAMED]) + (", …" if len(fitting) > _MOST_NAMED else "")
    raise click.UsageError(
        f"{given} is ambiguous: {len(fitting)} of the {among} end so ({named}); give more of the end, or the whole id"
    )


def _numbered(client: PlainClient, number: int) -> str:
    """The id of the invoice with a number. Invoices are listed by falling numbers."""
    after = None
    while True:
        page = client.invoices(limit=NEWEST, after=after)
        for row in page["data"]:
            if row["number"] == number:
                return str(row["id"])
        if not page["has_more"] or page["data"][-1]["number"] < number:
            raise click.UsageError(f"there is no invoice of number {number}; `fusionai invoices` lists them")
        after = page["last_id"]

"""fusionai models: what can be asked for, at which price; and the operator's own rows and published prices."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, get_args

import click
import redis

from producer.cli import offer_statistics, sync_page
from producer.cli.connection import api_command
from producer.cli.groups import DefaultGroup
from producer.cli.output import Output, json_option, micros_text
from producer.cli.tables import Column
from producer.client import FusionAI
from producer.pricelist import own_file, sync
from producer.stack.state import StateDirectory
from shared import clock
from shared.providers import states, statistics_watch
from shared.providers.states import ProviderState, name_of
from shared.providers.statistics import OfferStatistics
from shared.settings import settings
from shared.submissions.catalogue import catalogue
from shared.submissions.catalogue_rows import Capability
from shared.submissions.job_types import JobType

#: How long Redis may take, in seconds.
REDIS_SECONDS = 1.0

#: What a model can do, and the types that can do nothing else, as a narrow terminal shows them.
_LETTERS = {
    "vision": "v",
    "tools": "t",
    "json_schema": "j",
    "reasoning": "r",
    "embedding": "emb",
    "image": "img",
    "unknown": "?",
}
#: What a model can do that says nothing of it.
_OF_TYPE = {"chat.completion": "unknown"}
_LEGEND = "can: v vision, t tools, j json_schema, r reasoning."


def letters(cell: str) -> str:
    """`vtj` of `vision tools json_schema`."""
    return "".join(_LETTERS.get(word, word) for word in cell.split())


_COLUMNS = (
    Column("model"),
    Column("provider", drop=8),
    Column("input", right=True),
    Column("output", right=True),
    Column("context", right=True, drop=9),
    Column("state", styled=True, short=lambda cell: cell.partition(",")[0], cut=5, drop=1),
    *offer_statistics.COLUMNS,
    Column("can", short=letters, cut=10, drop=5),
)


@click.group(cls=DefaultGroup)
def models() -> None:
    """Show models and prices; add, remove, sync."""


@models.command("list")
@api_command
def list_models(client: FusionAI, output: Output) -> None:
    """List the models that the key can use.

    Prices are credits per million tokens, or per image; those to come are below. With the stack of this directory also
    whether calls of a model are paused now, and how recent calls went: the share of errors, seconds to the first token
    and to the end.
    """
    page = client.models()
    if (known := _known()) is not None:
        for one in page["data"]:
            one["state"], one["statistics"] = _health(one["id"], *known)

    def words() -> None:
        rows = [_row(one) for one in page["data"]]
        served = any(one.get("statistics") for one in page["data"])
        offer_statistics.table(output, _COLUMNS, rows, known=served, empty="No models.")
        if "can" in output.cut:
            output.note(_LEGEND)
        for said in _coming(page["data"]):
            output.remark(said)

    output.value(page, words)


def _coming(models: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each price to come, the next first."""
    found = []
    for one in models:
        for change in (one.get("price") or {}).get("changes", ()):
            prices = ", ".join(f"{name} {cell}" for name, cell in zip(("input", "output"), _cells(change), strict=True))
            found.append((change["from"], f"From {change['from']}: {one['id']}, {prices}."))
    return [said for _, said in sorted(found, key=lambda pair: pair[0])]


def _cells(price: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Of input and output; of pictures the lowest."""
    if images := price.get("images"):
        return "", f"{micros_text(min(images.values()))} each"
    return micros_text(price.get("input")), micros_text(price.get("output"))


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    cells = _cells(one.get("price") or {})
    context = f"{one['context_tokens']:,}" if isinstance(one.get("context_tokens"), int) else None
    served = offer_statistics.cells(one.get("statistics"))
    can = " ".join(one.get("capabilities") or ()) or _OF_TYPE.get(str(one.get("type")), one.get("type"))
    return (one["id"], one.get("provider", one.get("owned_by")), *cells, context, one.get("state"), *served, can)


_Paused = Mapping[tuple[str, str | None], ProviderState]


def _known() -> tuple[_Paused, Mapping[str, OfferStatistics]] | None:
    """Which providers and models are paused, and how offers served; None: no Redis of ours can be read here."""
    url = StateDirectory(settings().state_directory).running().get("redis_url")
    if url is None and "redis_url" in settings().model_fields_set:
        url = settings().redis_url
    if url is None:
        return None
    with suppress(redis.RedisError, OSError):
        with redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS) as connection:
            standings = states.read_all(connection)
            paused = {(one.provider, one.upstream): one.state for one in standings if one.state.paused}
            return paused, statistics_watch.read_all(connection)
    return None


def _health(
    id: str, paused: _Paused, statistics: Mapping[str, OfferStatistics]
) -> tuple[str, dict[str, float | None] | None]:
    """Whether calls of a model are paused, and how it served of late."""
    if (row := catalogue().models.get(id)) is None:
        return "ok", None
    state = paused.get((row.provider, None)) or paused.get((row.provider, row.upstream))
    served = offer_statistics.as_object(statistics.get(name_of(row.provider, row.upstream)))
    return f"paused, {states.words(state.paused_for)}" if state else "ok", served


def _own_file(given: Path | None) -> Path:
    if given is None and not settings().catalogue:
        raise click.UsageError("no catalog of your own: set FUSIONAI_CATALOGUE to its path (or give --file)")
    return given or Path(settings().catalogue)


_FILE = click.option(
    "--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="The catalog; else FUSIONAI_CATALOGUE."
)


@models.command()
@click.argument("name")
@click.option("--provider", required=True, help="The provider that serves it.")
@click.option("--upstream", help="The provider's own name of it; else NAME.")
@click.option("--type", "type", type=click.Choice(get_args(JobType)), default="chat.completion", show_default=True)
@click.option("--purpose", default="", help="What it is for, in a few words.")
@click.option("--input", "input_price", required=True, type=click.IntRange(0), help="Price of a million input tokens.")
@click.option(
    "--output",
    "output_price",
    type=click.IntRange(0),
    help="Price of a million output tokens; a chat.completion needs it.",
)
@click.option("--cached-input", type=click.IntRange(0), help="Price of a million input tokens from a cache.")
@click.option("--cache-write", type=click.IntRange(0), help="Price of a million input tokens written to a cache.")
@click.option("--cache-write-1h", type=click.IntRange(0), help="The same, written for an hour.")
@click.option("--reasoning", type=click.IntRange(0), help="Price of a million tokens of reasoning; else --output.")
@click.option("--request", type=click.IntRange(0), help="Price of each request, beside its tokens.")
@click.option("--context", type=click.IntRange(1), help="Tokens of request and response together.")
@click.option("--max-output", type=click.IntRange(1), help="Tokens of a response; a chat.completion needs it.")
@click.option("--can", type=click.Choice(get_args(Capability)), multiple=True, help="What it can do; else all.")
@_FILE
@json_option
def add(
    name: str, as_json: bool, file: Path | None, can: tuple[str, ...], provider: str, upstream: str | None, **given: Any
) -> None:
    """Add a model to your own catalog, or replace its row.

    Prices are micro-credits (a credit has 1,000,000). Running processes load it within a few seconds; the first model
    of a provider needs a restart. Prices of images, of long context and of service tiers, and what a provider has
    beside the usual fields, are written into the file: catalogue.toml explains all keys.
    """
    if given["type"] == "chat.completion":
        _insist(given, {"output_price": "--output", "max_output": "--max-output"})
    row: dict[str, Any] = {"type": given["type"], "provider": provider, "upstream": upstream or name}
    row |= {"purpose": given["purpose"], "input": given["input_price"], "output": given["output_price"] or 0}
    row |= {key: given[key] for key in _OPTIONAL if given[key] is not None}
    if can:
        row["capabilities"] = list(can)
    path = _own_file(file)
    _edit(path, own_file.with_row(name, row))
    _told(Output(as_json), {"model": name, "file": str(path), "row": row}, f"{name} is in {path}.")


#: Keys of a row that `add` writes only when they are given.
_OPTIONAL = ("cached_input", "cache_write", "cache_write_1h", "reasoning", "request", "max_output", "context")


def _insist(given: Mapping[str, Any], needed: Mapping[str, str]) -> None:
    """Refuse a row that lacks one of these; what is not given is not free."""
    for key, option in needed.items():
        if given[key] is None:
            raise click.UsageError(f"a chat.completion needs {option}")


@models.command()
@click.argument("name")
@_FILE
@json_option
def remove(name: str, as_json: bool, file: Path | None) -> None:
    """Take a model out of what is sold.

    Its row in your own catalog, if there is one; a model that ships with FusionAI is named in its `remove`.
    """
    path = _own_file(file)
    _edit(path, own_file.without(name))
    _told(Output(as_json), {"model": name, "file": str(path), "removed": True}, f"{name} is no longer sold ({path}).")


@models.command("sync")
@click.option("--provider", multiple=True, help="Only the models of this provider; may be repeated.")
@click.option("--accept", multiple=True, metavar="NAME", help="Write the prices of this model; may be repeated.")
@click.option("--yes", is_flag=True, help="Write all prices that may be accepted.")
@click.option("--new", is_flag=True, help="Also list published models that are not in the catalog.")
@click.option("--update", is_flag=True, help="Fetch the newest prices over the network first.")
@_FILE
@json_option
def synchronise(
    as_json: bool,
    file: Path | None,
    provider: tuple[str, ...],
    accept: tuple[str, ...],
    yes: bool,
    new: bool,
    update: bool,
) -> None:
    """Compare prices with those that are published.

    The published ones are those of the installed genai-prices, as of today. Nothing is written but what you accept: on
    a terminal it asks for each model. A price that falls to zero, or changes more than tenfold, is refused.
    """
    output = Output(as_json)
    try:
        found = sync.compared(_today(), provider, update=update, new=new, file=file)
    except sync.SyncError as error:
        raise click.ClickException(str(error)) from None
    if not as_json:
        sync_page.show(output, found)
    wanted = _wanted(output, found, set(accept), yes)
    if wanted:
        path = _own_file(file)
        for one in wanted:
            _edit(path, sync.written(found, one, path))
            if not as_json:
                output.line(f"{one.model} has its new price in {path}.")
    if as_json:
        output.value(sync.as_object(found, [one.model for one in wanted]), lambda: None)


def _wanted(output: Output, found: sync.Sync, accept: set[str], yes: bool) -> list[sync.Finding]:
    by_name = {one.model: one for one in found.findings}
    for name in accept:
        if name not in by_name or not by_name[name].changes:
            raise click.UsageError(f"--accept {name}: its price has not changed")
        if by_name[name].refused:
            raise click.UsageError(f"--accept {name}: refused, {by_name[name].refused}")
    able = [one for one in found.findings if one.acceptable]
    if yes:
        return able
    if accept or output.as_json or not (output.is_terminal and sys.stdin.isatty()):
        return [one for one in able if one.model in accept]
    return [one for one in able if click.confirm(f"Write the new price of {one.model}?")]


def _today() -> date:
    return clock.utc(clock.now_micros()).date()


def _edit(path: Path, change: own_file.Edit) -> None:
    try:
        own_file.edit(path, change)
    except own_file.OwnFileError as error:
        raise click.ClickException(str(error)) from None


def _told(output: Output, value: Mapping[str, Any], words: str) -> None:
    output.value(value, lambda: output.line(words))

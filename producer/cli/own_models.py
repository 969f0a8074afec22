"""fusionai models add, remove, sync: the operator's own rows of the catalogue, and published prices."""

import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, get_args

import click

from producer.cli import sync_page
from producer.cli.output import Output, json_option
from producer.pricelist import own_file
from producer.pricelist import sync as published
from shared import clock
from shared.settings import settings
from shared.submissions.catalogue_rows import Capability
from shared.submissions.job_types import JobType


def _own_file(given: Path | None) -> Path:
    if given is None and not settings().catalogue:
        raise click.UsageError("no catalogue of your own: set FUSIONAI_CATALOGUE to its path (or give --file)")
    return given or Path(settings().catalogue)


_FILE = click.option(
    "--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="The catalogue; else FUSIONAI_CATALOGUE."
)


@click.command()
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
    """Add a model to your own catalogue, or replace its row.

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


@click.command()
@click.argument("name")
@_FILE
@json_option
def remove(name: str, as_json: bool, file: Path | None) -> None:
    """Take a model out of what is sold.

    Its row in your own catalogue, if there is one; a model that ships with FusionAI is named in its `remove`.
    """
    path = _own_file(file)
    _edit(path, own_file.without(name))
    _told(Output(as_json), {"model": name, "file": str(path), "removed": True}, f"{name} is no longer sold ({path}).")


@click.command("sync")
@click.option("--provider", multiple=True, help="Only the models of this provider; may be repeated.")
@click.option("--accept", multiple=True, metavar="NAME", help="Write the prices of this model; may be repeated.")
@click.option("--yes", is_flag=True, help="Write all prices that may be accepted.")
@click.option("--new", is_flag=True, help="Also list published models that are not in the catalogue.")
@click.option("--update", is_flag=True, help="Fetch the newest prices over the network first.")
@_FILE
@json_option
def sync(
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
        found = published.compared(_today(), provider, update=update, new=new, file=file)
    except published.SyncError as error:
        raise click.ClickException(str(error)) from None
    if not as_json:
        sync_page.show(output, found)
    wanted = _wanted(output, found, set(accept), yes)
    if wanted:
        path = _own_file(file)
        for one in wanted:
            _edit(path, published.written(found, one, path))
            if not as_json:
                output.line(f"{one.model} has its new price in {path}.")
    if as_json:
        output.value(published.as_object(found, [one.model for one in wanted]), lambda: None)


def _wanted(output: Output, found: published.Sync, accept: set[str], yes: bool) -> list[published.PriceFinding]:
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

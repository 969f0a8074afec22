"""fusionai models: what can be asked for, at which price; and the operator's own rows and published prices."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import click

from fusionai.plain import PlainClient
from producer.cli import offer_statistics
from producer.cli.connection import api_command
from producer.cli.groups import DefaultGroup, loaded
from producer.cli.output import Output, micros_text
from producer.cli.tables import Column

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
#: What is shown of a model, by its type, whose row does not say what it can do.
_OF_TYPE = {"chat.completion": "unknown"}
_LEGEND = "can: v vision, t tools, j json_schema, r reasoning; emb embeddings, img images, ? not known."


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
def list_models(client: PlainClient, output: Output) -> None:
    """List the models that the key can use.

    Prices are credits per million tokens, or per image; those to come are below. With the stack of this directory also
    whether calls of a model are paused now, and how recent calls went: the share of errors, seconds to the first token
    and to the end. A narrow terminal shows what a model can do as letters: v vision, t tools, j json_schema,
    r reasoning; emb makes embeddings, img images, ? is not known.
    """
    page = client.models()
    with suppress(ImportError):  # of the packages that reading a Redis needs
        from producer.cli import model_health

        model_health.add(page["data"])

    def words() -> None:
        rows = [_row(one) for one in page["data"]]
        served = any(one.get("statistics") for one in page["data"])
        offer_statistics.table(output, _COLUMNS, rows, known=served, empty="No models.")
        if "can" in output.cut:
            output.remark(_LEGEND)
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


for name in ("add", "remove", "sync"):
    models.add_command(loaded(f"producer.cli.own_models:{name}"))

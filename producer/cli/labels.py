"""The option --metadata NAME=VALUE: labels to set, or to filter a list by."""

from collections.abc import Callable, Mapping
from typing import Any

import click


def metadata_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the option; its argument `metadata` is a dict."""
    return click.option("--metadata", multiple=True, metavar="NAME=VALUE", callback=_labels, help=help)


def as_words(metadata: Mapping[str, str]) -> list[str]:
    """The option once more, as words of a command."""
    return [f"--metadata={name}={value}" for name, value in metadata.items()]


def _labels(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.partition("=") for one in value]
    if wrong := [name for name, equals, _ in pairs if not name or not equals]:
        raise click.BadParameter(f"{wrong[0]!r} is not NAME=VALUE")
    return {name: found for name, _, found in pairs}

"""Groups of commands with a default, and commands that need what `pip install fusionai` alone does not bring."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

#: What brings it.
SERVER = "pip install 'fusionai[server]'"
_SENTENCE = f"this command needs the packages of the server: {SERVER}"
#: Packages of ours: one that is missing is a fault, and no other installation's.
_OURS = ("fusionai", "producer", "shared", "workers")


def loaded(place: str, name: str | None = None) -> click.Command:
    """The command at `module:function`; where a package of the server is missing, one that says so."""
    module, _, attribute = place.partition(":")
    try:
        command: click.Command = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if _is_ours(error):
            raise
        return _unavailable(name or attribute)
    return command


@contextmanager
def needing_packages() -> Iterator[None]:
    """Say in a sentence that a command needs a package which is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if _is_ours(error):
            raise
        raise click.ClickException(_SENTENCE) from None


def _is_ours(error: ModuleNotFoundError) -> bool:
    return error.name is None or error.name.partition(".")[0] in _OURS


def _unavailable(name: str) -> click.Command:
    def tell(**given: Any) -> None:
        raise click.ClickException(_SENTENCE)

    takes_all = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
    given = click.Argument(["given"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(name, takes_all, tell, [given], help=f"Needs the server: {SERVER}.", add_help_option=False)


class DefaultGroup(click.Group):
    """Runs `default` when no command is named; options alone are that command's."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            ctx.fail(f"no command '{args[0]}'; there are: {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


class ShowByDefault(DefaultGroup):
    """A group that shows."""

    default = "show"

"""Every command that works on the database itself either changes nothing, or is in the audit log."""

from collections.abc import Iterator

import click
import pytest

from producer.cli import main
from producer.cli.operator import ON_DATABASE

#: Those that only read: whoever adds a command says here that it does, or gives it --operator and an entry.
READING = {
    "accounts audit",
    "accounts list",
    "accounts show",
    "entities list",
    "entities show",
    "invoices doubts",
    "invoices lost",
    "keys list",
    "keys secrets",
    "keys show",
    "queues list",
    "reconcile",
    "verify",
    "workers",
}


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for short in group.list_commands(context):
        command = group.get_command(context, short)
        assert command is not None
        full = f"{name} {short}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, full)
        else:
            yield full, command


ON_THE_DATABASE = {name: command for name, command in commands(main) if getattr(command.callback, ON_DATABASE, False)}


def test_every_command_on_the_database_is_known_to_read_or_says_who_gave_it() -> None:
    audited = {name for name, command in ON_THE_DATABASE.items() if any(p.name == "operator" for p in command.params)}
    assert audited & READING == set()
    assert audited | READING == set(ON_THE_DATABASE)
    assert {"entities import", "entities delete", "credits grant", "keys revoke", "invoices pay"} <= audited


@pytest.mark.parametrize("name", sorted(ON_THE_DATABASE))
def test_its_function_is_found_under_its_decorators(name: str) -> None:
    """So that none that works on the database is overlooked: its module takes `operator_command`."""
    assert ON_THE_DATABASE[name].callback is not None

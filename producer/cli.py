"""The `fusionai` command: every room of producer/commands is a few of its commands, loaded when asked for."""

from importlib import import_module
from typing import Any

import click

#: Command → where it is, in the order in which `fusionai --help` lists them.
COMMANDS = {
    "up": "producer.commands.up:up",
    "submit": "producer.commands.submit:submit",
    "job": "producer.commands.jobs:job",
    "jobs": "producer.commands.jobs:jobs",
    "batch": "producer.commands.batches:batch",
    "batches": "producer.commands.batches:batches",
    "retry": "producer.commands.retry:retry",
    "cancel": "producer.commands.jobs:cancel",
    "usage": "producer.commands.usage:usage",
    "providers": "producer.commands.providers:providers",
    "models": "producer.commands.jobs:models",
    "credits": "producer.commands.credits:credits",
    "invoices": "producer.commands.invoices:invoices",
    "events": "producer.commands.events:events",
    "webhooks": "producer.commands.events:webhooks",
    "accounts": "producer.commands.accounts:accounts",
    "keys": "producer.commands.accounts:keys",
    "verify": "producer.commands.database:verify",
    "migrate": "producer.commands.database:migrate",
    "sweep": "producer.commands.database:sweep",
}


class Commands(click.Group):
    """Loads a command when it is needed, and turns what can go wrong into one clear line and exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        from producer.commands.failures import told

        with told("--json" in ctx.args):
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fusionai", prog_name="fusionai")
def main() -> None:
    """FusionAI: one API in front of many AI providers.

    Commands that talk to the API take --base-url and --key (or FUSIONAI_BASE_URL and FUSIONAI_API_KEY); without them
    they use the stack that `fusionai up` started in this directory. accounts, keys, `credits grant`, verify, migrate
    and sweep act on the database.
    """


if __name__ == "__main__":
    main()

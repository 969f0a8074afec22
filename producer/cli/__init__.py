"""The `fusionai` command: each module of this package has a few of its commands, loaded when needed."""

from typing import Any

import click

from shared.environment import variables

#: Command → where it is, in the order of `fusionai --help`. A new command is a row here and its module.
COMMANDS = {
    "up": "producer.cli.up:up",
    "submit": "producer.cli.submit:submit",
    "job": "producer.cli.jobs:job",
    "jobs": "producer.cli.jobs:jobs",
    "batch": "producer.cli.batches:batch",
    "batches": "producer.cli.batches:batches",
    "retry": "producer.cli.retry:retry",
    "cancel": "producer.cli.jobs:cancel",
    "usage": "producer.cli.usage:usage",
    "providers": "producer.cli.providers:providers",
    "queues": "producer.cli.queues:queues",
    "workers": "producer.cli.queues:workers",
    "models": "producer.cli.models:models",
    "credits": "producer.cli.credits:credits",
    "invoices": "producer.cli.invoices:invoices",
    "events": "producer.cli.events:events",
    "redeliver": "producer.cli.events:redeliver",
    "webhooks": "producer.cli.webhooks:webhooks",
    "accounts": "producer.cli.accounts:accounts",
    "keys": "producer.cli.keys:keys",
    "entities": "producer.cli.entities:entities",
    "verify": "producer.cli.database:verify",
    "reconcile": "producer.cli.reconcile:reconcile",
    "backup": "producer.cli.backups:backup",
    "restore": "producer.cli.backups:restore",
    "restored": "producer.cli.backups:restored",
    "migrate": "producer.cli.database:migrate",
    "sweep": "producer.cli.database:sweep",
}


class Commands(click.Group):
    """Loads a command when it is needed, and reports what can go wrong as one clear line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        from producer.cli.groups import loaded

        return loaded(COMMANDS[cmd_name], cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        from producer.cli.failures import reported
        from producer.cli.groups import needing_packages

        as_json = "--json" in ctx.args
        if not as_json:
            _name_unknown_variables()
        with reported(as_json), needing_packages():
            return super().invoke(ctx)


def _name_unknown_variables() -> None:
    """Say on standard error which variables FUSIONAI_… are no settings: a misspelt one changes nothing."""
    if variables("FUSIONAI_"):
        from shared.settings import unknown_variables

        for line in unknown_variables():
            click.echo(f"Warning: {line}", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fusionai", prog_name="fusionai")
def main() -> None:
    """FusionAI: one API in front of many AI providers.

    Commands that call the API take its address and a key from --base-url and --key, or from FUSIONAI_BASE_URL and
    FUSIONAI_API_KEY; without them they use the stack that `fusionai up` started in this directory. Operators'
    commands (queues, workers, accounts, keys, entities, credits grant, refund and adjust, invoices pay, doubts, lost
    and settle, verify, reconcile, backup, restore, restored, migrate, sweep) work on the database.
    """


if __name__ == "__main__":
    main()

"""fusionai backup, restore, restored: copies of the whole system, and what follows when it was put back to one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from producer.backup import restoring, taking
from producer.cli.activity import Update, working
from producer.cli.auditing import action, operator_option
from producer.cli.operator import open_database, operator_command
from producer.cli.output import Output, json_option, moment
from shared import after_restore, clock
from shared.after_restore import Restored
from shared.db import Database
from shared.settings import keep_private, settings

_NEXT_INVOICE = click.option(
    "--next-invoice",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of the next invoice, where you know which was the last.",
)
_QUESTION = (
    "Workers end what they run; a thousand numbers of invoices, and a million of events of each account, are left "
    "out. Was the database put back to an earlier moment?"
)
_GONE = (
    "What was done after that moment is undone: jobs, files and invoices since then are gone, and keys that were "
    "revoked and files that were deleted since then are back. Revoke and delete them again."
)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--no-files", is_flag=True, help="Leave stored files out, where they are backed up otherwise.")
@json_option
def backup(directory: Path, no_files: bool, as_json: bool) -> None:
    """Back up the system to DIRECTORY, which is made.

    Copies the SQLite database, stored files and secrets, while the system runs. What is in it opens everything: keep it
    as you keep the secrets.
    """
    output, own = Output(as_json), settings()
    keep_private()
    open_database().close()
    with working(output, "Copying", "bytes") as update:
        made = taking.take(directory, own, files=not no_files, progress=_counted(update))

    def words() -> None:
        files = "without stored files" if made.files is None else f"{made.files:,} files of {made.file_bytes:,} bytes"
        output.line(f"{directory}: the database of {made.database_bytes:,} bytes, {files}.")
        output.line(f"It leads back to {moment(made.made_at / clock.MICROS)} UTC: fusionai restore {directory}")

    output.value({"directory": str(directory), **made.as_json()}, words)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_NEXT_INVOICE
@operator_option
@json_option
def restore(directory: Path, next_invoice: int | None, as_json: bool) -> None:
    """Restore the backup in DIRECTORY, where there is no database.

    Brings it up to this version, and does what `fusionai restored` does. Killed on the way, it is run again.
    """
    output = Output(as_json)
    keep_private()
    with working(output, "Restoring", "bytes") as update:
        done = restoring.restore(
            directory, settings(), action("restore"), next_invoice=next_invoice, progress=_counted(update)
        )
    settled = replace(done.settled, restored_to=done.manifest.made_at)  # the backup's own moment

    def words() -> None:
        _say(output, settled)
        if not done.same_key_secret:
            output.prose(
                "FUSIONAI_KEY_SECRET is not that of the backup, and FUSIONAI_KEY_SECRETS_OLD does not name it: API "
                "keys under it do not work (fusionai keys secrets)."
            )
        output.line("Next: fusionai verify --files, then start the processes (fusionai up).")

    output.value({**_shown(settled), "files": done.files, "same_key_secret": done.same_key_secret}, words)


@click.command()
@click.option(
    "--moment",
    "to",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    metavar="TIME",
    help="The moment to which it was put back, UTC.  [default: the newest in it]",
)
@_NEXT_INVOICE
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_option
@operator_command
def restored(database: Database, output: Output, to: datetime | None, next_invoice: int | None, yes: bool) -> None:
    """Do what follows when the database was put back in time.

    By a restored dump, or a standby that lacked the last commits. Numbers of events and invoices that may have been
    given out since then are left out, leases end, epochs of jobs are raised, and the console is signed out of. Run it
    before anything is started, and once: each time leaves out a thousand numbers of invoices.
    """
    if not yes:
        click.confirm(_QUESTION, abort=True, err=True)
    at = None if to is None else round(to.replace(tzinfo=UTC).timestamp()) * clock.MICROS
    with working(output, "Working"):
        done = after_restore.settle(database, action("restored"), restored_to=at, next_invoice=next_invoice)
    output.value(_shown(done), lambda: _say(output, done))


def _counted(update: Update) -> taking.Progress:
    return lambda bytes: update(bytes, None)


def _shown(done: Restored) -> dict[str, Any]:
    return {
        "restored_to": clock.seconds(done.restored_to),
        "leases_ended": done.leases,
        "unfinished_jobs": done.jobs,
        "accounts": done.accounts,
        "last_invoice_number": done.last_invoice,
        "next_invoice_number": done.next_invoice,
        "sessions_ended": done.sessions,
    }


def _say(output: Output, done: Restored) -> None:
    output.line(f"Restored to {moment(done.restored_to / clock.MICROS)} UTC.")
    output.line(f"{done.jobs:,} unfinished jobs go on; events of {done.accounts:,} accounts go on with new numbers.")
    output.line(f"The next invoice has number {done.next_invoice:,}; the last one before was {done.last_invoice:,}.")
    output.prose(_GONE)

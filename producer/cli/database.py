"""fusionai verify, migrate, sweep: maintenance of the deployment."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

import click

from producer.cli.activity import working
from producer.cli.operator import operator_command
from producer.cli.output import Output, credits_text, json_option
from producer.cli.tables import Column
from producer.stack.state import StateDirectory
from producer.terminal import printable
from shared import verify as checks
from shared.clock import MICROS
from shared.db import Database
from shared.environment import inherited
from shared.settings import settings
from shared.verify.files import UnnamedBlob

_NOT_SWEPT = "The sweep failed."
_TOTALS = [Column("name"), Column("number", right=True), Column("unit")]


@click.command()
@click.option("--files", is_flag=True, help="Check the bytes of every stored file too.")
@click.option("--at-rest", is_flag=True, help="Check too that no job, hold or delivery is under way.")
@operator_command
def verify(database: Database, output: Output, files: bool, at_rest: bool) -> None:
    """Recompute every balance and check the database's consistency.

    May run at any time, also while the system is at work (but for --at-rest). Exit status 1 when there is a violation.
    """
    with working(output, "Checking every balance", "checks") as update:
        violations = checks.verify_all(database, stored=files, at_rest=at_rest, progress=update)
    totals = database.read_sync(checks.totals)
    unnamed = list(checks.unnamed_blobs(database)) if files else []

    def words() -> None:
        for violation in violations:
            output.line(f"VIOLATED  {violation}")
        output.details(_TOTALS, [_total(name, value) for name, value in totals.items()])
        if unnamed:
            output.prose(_remains(unnamed))
        output.line("All balances are exact." if not violations else f"{len(violations):,} violations.")

    found = {"violations": [str(one) for one in violations], "findings": [one.as_json() for one in violations]}
    if files:
        found["unnamed_blobs"] = [one.as_row() for one in unnamed]
    output.value({"exact": not violations, **found, "totals": totals}, words)
    if violations:
        raise SystemExit(1)


def _remains(unnamed: Sequence[UnnamedBlob]) -> str:
    """Of blobs without a row: how many, how large, how old. They are what processes that died have left."""
    bytes, hours = sum(one.bytes for one in unnamed), max(one.age_seconds for one in unnamed) / 3600
    return f"Stored without a row: {len(unnamed):,}, {bytes:,} bytes, the oldest for {hours:.1f} hours."


def _total(name: str, value: int) -> list[str]:
    if name.endswith("_micros"):
        return [name.removesuffix("_micros"), credits_text(value / MICROS), "credits"]
    return [name, f"{value:,}", ""]


@click.command()
@click.option("--after", is_flag=True, help="Take away what earlier versions alone use: once none of them runs.")
@json_option
def migrate(as_json: bool, after: bool) -> None:
    """Create the database's tables or bring them up to date.

    May run while the version before is at work, which goes on with the new schema. Says what is left for --after, after
    which no version before this one can run.
    """
    from shared.db.migrations import migrate as upgrade

    own = settings()
    if own.database_url == f"sqlite:///{own.state_directory / 'fusionai.sqlite3'}":
        StateDirectory(own.state_directory).create()
    output = Output(as_json)
    with working(output, "Migrating the database"):
        done = upgrade(own.database_url, finish=after, waiting=Waiting())
    newer = f"A newer version has migrated the database (to {done.revision}): nothing is left to do for this one."

    def words() -> None:
        output.line(newer if done.is_newer else "The database is up to date.")
        if done.left:
            output.prose(f"Left for `fusionai migrate --after`, once all processes are new: {'; '.join(done.left)}.")

    output.value({"migrated": True, "revision": done.revision, "left": done.left}, words)


class Waiting:
    """Says on standard error what the migration waits for, each thing once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, why: str) -> None:
        if why not in self._said:
            click.echo(why, err=True)
        self._said.add(why)


@click.command()
@json_option
def sweep(as_json: bool) -> None:
    """Sweep once, as the sweeper does every second.

    It queues the jobs of lost workers again, ends jobs whose deadline has passed, and sends due retries and webhook
    deliveries on, and says how many of each. May run at any time.
    """
    own = settings()
    running = StateDirectory(own.state_directory).running()
    env = inherited()
    for name in ("redis_url", "broker_url"):
        if name in running and name not in own.model_fields_set:
            env[f"FUSIONAI_{name.upper()}"] = running[name]
    output = Output(as_json)
    with working(output, "Sweeping"):
        argv = [sys.executable, "-m", "workers.maintenance.sweep", "--once"]
        ended = subprocess.run(argv, env=env, capture_output=True)
    click.echo(printable(ended.stderr.decode(errors="replace")), err=True, nl=False)
    done = {} if ended.returncode else json.loads(ended.stdout)
    output.value({"swept": ended.returncode == 0, **done}, lambda: output.line(_swept(done) if done else _NOT_SWEPT))
    if ended.returncode:
        raise SystemExit(1)


def _swept(done: Mapping[str, int]) -> str:
    """`Swept. Jobs taken back: 3, jobs queued: 12.`"""
    said = ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in done.items() if count)
    return f"Swept. {said[:1].upper()}{said[1:]}." if said else "Swept. There was nothing to do."

"""fusionai verify, migrate, sweep: the deployment's own upkeep."""

import subprocess
import sys

import click

from producer.cli.operator import operator_command
from producer.cli.output import Output, credits_text, json_option
from producer.stack.state import StateDirectory
from shared import verify as checks
from shared.clock import MICROS
from shared.db import Database
from shared.environment import inherited
from shared.settings import settings


@click.command()
@click.option("--files", is_flag=True, help="Look at the bytes of every stored file, too.")
@operator_command
def verify(database: Database, output: Output, files: bool) -> None:
    """Recompute every balance and check every promise from the rows. Exit status 1 when anything is off.

    Right at any time, also while the system runs.
    """
    violations, totals = checks.verify_all(database, stored=files), database.read_sync(checks.totals)

    def words() -> None:
        for violation in violations:
            output.line(f"VIOLATED  {violation}")
        output.fields(
            {
                name.removesuffix("_micros"): credits_text(value / MICROS) + " credits"
                if name.endswith("_micros")
                else f"{value:,}"
                for name, value in totals.items()
            }
        )
        output.line("All balances are exact." if not violations else f"{len(violations)} violations.")

    output.value({"exact": not violations, "violations": violations, "totals": totals}, words)
    if violations:
        raise SystemExit(1)


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the database's tables up to date."""
    from shared.db.migrations import migrate as upgrade

    own = settings()
    if own.database_url == f"sqlite:///{own.state_directory / 'fusionai.sqlite3'}":
        StateDirectory(own.state_directory).create()
    upgrade(own.database_url)
    output = Output(as_json)
    output.value({"migrated": True}, lambda: output.line("The database is up to date."))


@click.command()
@json_option
def sweep(as_json: bool) -> None:
    """Sweep once; harmless at any time.

    Lapsed workers' jobs, due retries, deliveries and deadlines.
    """
    own = settings()
    running = StateDirectory(own.state_directory).running()
    env = inherited()
    for name in ("redis_url", "broker_url"):
        if name in running and name not in own.model_fields_set:
            env[f"FUSIONAI_{name.upper()}"] = running[name]
    status = subprocess.run([sys.executable, "-m", "workers.maintenance.sweep", "--once"], env=env).returncode
    output = Output(as_json)
    output.value({"swept": status == 0}, lambda: output.line("Swept." if status == 0 else "The sweep failed."))
    if status:
        raise SystemExit(1)

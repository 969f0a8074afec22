"""Cancelling all jobs that meet filters, after a question."""

from collections.abc import Mapping
from typing import Any

import click

from fusionai.plain import PlainClient
from producer.cli.output import Output


def cancel(client: PlainClient, output: Output, filters: Mapping[str, Any], *, dry_run: bool, yes: bool) -> None:
    """Count the jobs; unless that is all that is wanted, ask, and cancel them call by call."""
    if dry_run:
        found = _all(client, filters, dry_run=True)
        output.value(found, lambda: output.line(f"{found['matched']:,} jobs would be cancelled"))
        return
    if not yes:
        counted = _all(client, filters, dry_run=True)["matched"]
        click.confirm(f"Cancel {counted:,} jobs?", abort=True, err=True)
    done = _all(client, filters, dry_run=False)
    said = f"{done['cancelled']:,} cancelled, {done['cancelling']:,} running ones were told to end"
    output.value(done, lambda: output.line(said))


def _all(client: PlainClient, filters: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """The sums of as many calls as it takes."""
    after, total = None, {"matched": 0, "cancelled": 0, "cancelling": 0}
    while True:
        made = client.cancel_jobs(dry_run=dry_run, after=after, **filters)
        total = {name: total[name] + made[name] for name in total}
        after = made["last_id"]
        if not made["has_more"]:
            return {"object": "jobs.cancellation", "dry_run": dry_run, **total}

"""fusionai job, jobs, cancel."""

import json
from typing import Any

import click

from fusionai.plain import TERMINAL, Batch, Job, PlainClient
from fusionai.plain.objects import Attempt, BatchesUnderWay
from producer.cli import cancelling, explanations
from producer.cli.connection import api_command
from producer.cli.ids import Id
from producer.cli.job_filters import JobOptions, filter_options
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from shared.submissions.sizes import MOST_PAGE

#: The longest a single waiting call asks for; the server's own waiting ends at 28 s.
_WAIT_SECONDS = 25.0


_COLUMNS = [
    Column("id", short=short_id),
    Column("type", drop=2),
    Column("model"),
    Column("status", styled=True),
    Column("tries", right=True, drop=1),
    Column("credits", right=True, drop=3),
    Column("created", drop=4),
]


_ATTEMPT_COLUMNS = [
    Column("attempt"),
    Column("provider"),
    Column("outcome", text=True),
    Column("model", drop=2),
    Column("began", drop=1),
    Column("took", right=True),
]


@click.command()
@click.argument("id", type=Id("job"))
@click.option("--wait", is_flag=True, help="Wait until the job has ended.")
@click.option("--explain", is_flag=True, help="Show how its charge came about instead of its result.")
@click.option("--input", "asked", is_flag=True, help="Show what it asked, as it can be sent again.")
@api_command
def job(client: PlainClient, output: Output, id: str, wait: bool, explain: bool, asked: bool) -> None:
    """Show a job.

    Exit status 3 when it has ended without success.
    """
    if asked:
        given = client.job_input(id)
        return output.value(given, lambda: output.document(given["body"]))
    found = client.job(id, wait=_WAIT_SECONDS if wait else None)
    while wait and found["status"] not in TERMINAL:
        found = client.job(id, wait=_WAIT_SECONDS)
    output.value(found, lambda: explanations.show(output, found) if explain else _show(output, found))
    if found["status"] in TERMINAL - {"succeeded"}:
        raise SystemExit(3)


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", type=Id("job"), metavar="ID", help="Begin after this job.")
@click.option("--count", is_flag=True, help="Count the jobs, up to 10,000, instead of listing them.")
@click.option("--summary", is_flag=True, help="Count those that are queued, running, done today, failed of late.")
@filter_options
@api_command
def jobs(
    client: PlainClient, output: Output, limit: int, after: str | None, count: bool, summary: bool, filters: JobOptions
) -> None:
    """List jobs, the newest first."""
    filters = filters.whole(client)
    if summary:
        return _summarize(client, output)
    if count:
        counted = client.count_jobs(metadata=filters.metadata, **filters.parameters())
        return output.value(counted, lambda: output.line(_number(counted)))
    page = client.jobs(limit=limit, after=after, metadata=filters.metadata, **filters.parameters())

    def words() -> None:
        rows = [_row(found) for found in page["data"]]
        output.table(_COLUMNS, rows, empty="No jobs so far." if page["has_more"] else "No jobs.")
        if page["has_more"]:
            output.note(f"More: fusionai jobs{filters.again()} --after {page['last_id']}")

    output.value(page, words)


def _batches(found: BatchesUnderWay | None) -> str | None:
    """None: the server is of a version that does not tell."""
    if found is None:
        return None
    waits = [(found["waiting_for_credits"], "credits"), (found["waiting_for_budget"], "a budget of the API key")]
    return ", ".join([f"{found['unfinished']:,}", *(f"{count:,} waiting for {what}" for count, what in waits if count)])


def _summarize(client: PlainClient, output: Output) -> None:
    found = client.job_summary()
    oldest = moment(found["oldest_queued_at"])
    words = {
        "queued": _number(found["queued"]) + (f", the oldest since {oldest}" if oldest else ""),
        "running": _number(found["running"]),
        "done today": _number(found["succeeded"]),
        "failed in 24 hours": _number(found["failed"]),
        "unfinished batches": _batches(found.get("batches")),
    }
    output.value(found, lambda: output.fields(words))


def _number(counted: dict[str, Any]) -> str:
    return f"{counted['count']:,}{'' if counted['exact'] else ' or more'}"


@click.command()
@click.argument("id", type=Id("job", "batch"), required=False)
@filter_options
@click.option("--dry-run", is_flag=True, help="With filters: only count the jobs.")
@click.option("--yes", is_flag=True, help="With filters: do not ask.")
@api_command
def cancel(client: PlainClient, output: Output, id: str | None, filters: JobOptions, dry_run: bool, yes: bool) -> None:
    """Cancel a job or a batch, or jobs by filters.

    Without an ID, all jobs that meet the filters and are not over are cancelled, after a question.
    A job that has already ended stays as it is, and so do the lines of a batch that have.
    """
    if (id is None) == filters.empty:
        raise click.UsageError("say which job or batch, or give filters such as --status queued --model gpt-4")
    if id is None:
        cancelling.cancel(client, output, filters.whole(client).body(), dry_run=dry_run, yes=yes)
        return
    found: Job | Batch = client.cancel_batch(id) if id.startswith("batch_") else client.cancel(id)
    ended = found["status"] in TERMINAL - {"cancelled"}
    note = "had already ended; nothing was cancelled" if ended else ""
    output.value(found, lambda: output.line("  ".join(filter(None, (found["id"], found["status"], note)))))


def _row(found: dict[str, Any]) -> list[object]:
    usage = found["usage"] or {}
    cost = credits_text(usage["credits_used"]) if "credits_used" in usage else None
    tries, created = len(found["attempts"]), moment(found["created_at"])
    return [found["id"], found["type"], found["model"], found["status"], tries, cost, created]


def _show(output: Output, found: Job) -> None:
    served, usage, error = found["served_by"], found["usage"], found["error"]
    output.fields(
        {
            "id": found["id"],
            "type": found["type"],
            "model": found["model"],
            "status": found["status"],
            "waiting for": found.get("waiting_for"),
            "served by": f"{served['provider']} {served['model']}" if served else None,
            "cached": "yes" if found.get("cached") else None,
            "batch": found["batch_id"],
            "custom id": found["custom_id"],
            "created": moment(found["created_at"]) or None,
            "finished": moment(found["finished_at"]) or None,
            "tokens": f"{usage['prompt_tokens']:,} in, {usage['completion_tokens']:,} out" if usage else None,
            "credits": credits_text(usage["credits_used"]) if usage else None,
            "refunded": credits_text(found["refunded"]) if "refunded" in found else None,
            "ignored": ", ".join(found["ignored"]) or None,
            "metadata": json.dumps(found["metadata"], ensure_ascii=False) if found["metadata"] else None,
            "error": f"{error['message']} ({error['type']})" if error else None,
            "reason": error.get("reason") if error else None,
        }
    )
    attempts = [_attempt(number, attempt) for number, attempt in enumerate(found["attempts"], start=1)]
    output.details(_ATTEMPT_COLUMNS, attempts)
    if charge := found.get("charge"):  # servers of the release before have none
        explanations.show_charge(output, charge)
    if routing := found.get("routing"):  # as well
        explanations.show_routing(output, routing)
    if found["result"]:
        output.line()
        output.document(found["result"])


def _attempt(number: int, attempt: Attempt) -> list[str]:
    """An attempt as cells: `attempt 1`, who was called, how it ended, its model, when it began (UTC), its seconds."""
    status, error = attempt["status_code"], attempt["error"]
    ended = " ".join(filter(None, (str(status or ""), error))) or "under way"
    seconds = None if attempt["finished_at"] is None else attempt["finished_at"] - attempt["started_at"]
    took = "" if seconds is None else f"{seconds:.0f} s"
    began = moment(attempt["started_at"]).partition(" ")[2]
    return [f"attempt {number}", attempt["provider"] or "-", ended, attempt.get("model") or "", began, took]

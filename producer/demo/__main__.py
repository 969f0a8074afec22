"""`make demo`: the embedded stack, and one batch of 300 lines of all three job types over three providers.

Some lines fail at first. Prints the results, what was charged and what the statement says, which webhooks arrived with
valid signatures, and what the ledger says; exit status 1 when any of it is wrong. `python -m producer.demo`.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import click
import httpx

from fusionai.plain import Batch, BatchResult, Job, PlainClient
from producer.cli import progress
from producer.cli.follow import follow
from producer.cli.output import credits_text
from producer.demo.inbox import Inbox
from producer.stack.state import StateDirectory
from producer.terminal import one_line
from shared import clock
from shared.db import Database
from shared.environment import inherited
from shared.submissions.job_types import URLS
from shared.submissions.sizes import MOST_PAGE
from shared.verify import totals, verify

#: A machine that is busy takes a minute and more.
START_SECONDS = 120.0
#: In a prompt: the simulator fails such a request once, as the script below says.
BUSY, BROKEN, REFUSED = "busy hour", "broken line", "refused for good"
SCRIPT = {
    "rules": [
        {"contains": BUSY, "each": True, "times": 1, "fault": {"status": 429, "retry_after": 1}},
        {"contains": BROKEN, "each": True, "times": 2, "fault": {"status": 503}},
        {"contains": REFUSED, "fault": {"status": 400, "message": "the simulated provider does not do that"}},
    ]
}
#: Crossed by what the demo spends of its 10,000 credits.
THRESHOLDS = [{"kind": "remaining", "credits": 9950}]


#: Sent one at a time, beside the batch: a job of its own has an event of its own.
SINGLE_JOBS: list[dict[str, Any]] = [
    {"type": "chat.completion", "model": model, "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 50}
    for model in ("gpt-4", "claude-3-opus", "gemini-pro")
] + [
    {"type": "embedding", "model": "text-embedding-3-large", "input": "a single text", "dimensions": 64},
    {"type": "image", "model": "image-gen-2", "prompt": "a single picture"},
]
#: Of the batch's lines; the refused one fails.
COUNTS = {"total": 300, "completed": 299, "failed": 1}
#: Every type of event that the demo must cause.
EVENTS = {"batch.completed", "invoice.created", "invoice.paid", "job.completed", "credit.threshold"}


@dataclass(frozen=True)
class DemoResult:
    """What the demo's work has led to: the batch, its results and jobs, and the single jobs."""

    batch: Batch
    results: Sequence[BatchResult]
    lines: Sequence[Job]
    singles: Sequence[Job]


def batch_lines() -> list[dict[str, Any]]:
    """300 lines: chat on three providers, embeddings, images; some of the chats meet trouble first.

    A 429 slows all that its model is sent after it: four chats meet one.
    """
    lines: list[dict[str, Any]] = []

    def add(type: str, body: dict[str, Any]) -> None:
        lines.append({"custom_id": f"{type}-{len(lines)}", "method": "POST", "url": URLS[type], "body": body})

    chat = ("gpt-4", "claude-3-sonnet", "gemini-pro", "gpt-3.5-turbo")
    for number in range(210):
        trouble = BUSY if number % 60 == 3 else BROKEN if number % 20 == 13 else "quiet hour"
        question = f"Question {number}, asked in a {trouble}: what is {number} times 7?"
        if number == 200:
            question = f"Question {number} is {REFUSED}."
        message = {"role": "user", "content": question}
        add("chat.completion", {"model": chat[number % 4], "messages": [message], "max_tokens": 100})
    for number in range(80):
        text = [f"document {number}, first half", f"document {number}, second half"]
        add("embedding", {"model": "text-embedding-3-large", "input": text, "dimensions": 64})
    for number in range(10):
        add("image", {"model": "image-gen-2", "prompt": f"skyline number {number} at sunset"})
    return lines


@contextlib.contextmanager
def running_stack(directory: Path) -> Iterator[StateDirectory]:
    """`fusionai up` in a directory of its own, until the block ends."""
    state = StateDirectory(directory / "state")
    log = open(directory / "up.log", "wb")
    command = [sys.executable, "-m", "producer.cli", "up", "--quiet", "--state", str(directory / "state")]
    process = subprocess.Popen(command, stdout=log, stderr=log, env=inherited(), start_new_session=True)
    try:
        _await(lambda: bool(state.running()) or process.poll() is not None, START_SECONDS)
        if not state.running():
            raise click.ClickException(_not_started(process.poll(), (directory / "up.log").read_text()))
        yield state
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _not_started(code: int | None, log: str) -> str:
    """Why there is no stack: it ended by itself, or is not up yet."""
    if code is not None:
        return f"the stack ended with exit status {code} before it was up. It said:\n{log}"
    return f"the stack is not up within {START_SECONDS:.0f} s: this machine may be busy. So far it said:\n{log}"


def main() -> None:
    """Run it; the exit status says whether all was well."""
    try:
        problems = _demo()
    except click.ClickException as error:
        problems = [error.message]
    for problem in problems:
        click.secho(f"WRONG: {problem}", fg="red", err=True)
    sys.exit(1 if problems else 0)


def _demo() -> list[str]:
    """Start the stack, run the demo and stop; what was wrong."""
    with tempfile.TemporaryDirectory(prefix="fusionai-demo-") as directory:
        click.echo("Starting the embedded stack: Redis, SQLite, web, worker, batches, sweeper, Flower, simulator …")
        with running_stack(Path(directory)) as state:
            problems = list(_run(state))
        click.echo("Stopped.")
    return problems


def _run(state: StateDirectory) -> Iterator[str]:
    """The whole demo; what is wrong, as it is found."""
    stack, account = state.running(), state.first_account()
    httpx.post(f"{stack['simulator_url']}/_simulator/script", json=SCRIPT, trust_env=False).raise_for_status()
    inbox = Inbox()
    with PlainClient(stack["base_url"], account["live_key"]) as client:
        before = Decimal(str(client.credits()["available"]))
        inbox.secret = client.create_webhook(inbox.url)["secret"]
        client.set_thresholds(THRESHOLDS)
        done = _work(client)
        yield from _results(done)
        yield from _money(client, before, done)
        yield from _webhooks(client, inbox)
    inbox.close()
    yield from _ledger(stack["database_url"])


def _work(client: PlainClient) -> DemoResult:
    """One batch and a few single jobs, to their ends."""
    lines = batch_lines()
    began = clock.monotonic()
    click.echo(f"Submitting a batch of {len(lines)} lines over the queues of openai, anthropic and google …")
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.upload(io.BytesIO(content), "demo.jsonl")
    made = client.create_batch(file["id"], metadata={"made_by": "make demo"})
    shown = progress.bar if sys.stdout.isatty() else progress.plain
    with shown() as show:
        batch = follow(client, made["id"], show, lines=len(lines)).batch
    seconds = clock.monotonic() - began
    click.echo(f"  {batch['id']} {batch['status']} in {seconds:.1f} s ({len(lines) / seconds:,.0f} lines/s)")
    accepted = [client.submit(job) for job in SINGLE_JOBS]
    singles = [client.job(job["id"], wait=25) for job in accepted]
    jobs = [cast(Job, found) for found in client.every_job(batch_id=batch["id"])]
    return DemoResult(batch, list(client.batch_results(batch)), jobs, singles)


def _results(done: DemoResult) -> Iterator[str]:
    counts = Counter((job["type"], job["status"]) for job in done.lines)
    tries = Counter(len(job["attempts"]) for job in done.lines)
    click.echo("\nResults")
    for (type, status), count in sorted(counts.items()):
        click.echo(f"  {type:16} {status:10} {count:4}")
    click.echo(
        "  attempts         " + ", ".join(f"{count} jobs took {number}" for number, count in sorted(tries.items()))
    )
    for result in done.results:
        if (response := result["response"]) and response["status_code"] != 200:
            click.echo(one_line(f"  {result['custom_id']} failed: {response['body']['error']['message']}"))
    yield from _wrong_results(done)
    if not (tries[2] and tries[3]):
        yield f"the simulated faults were not met with retries: {dict(tries)}"


def _wrong_results(done: DemoResult) -> Iterator[str]:
    if done.batch["status"] != "completed" or dict(done.batch["request_counts"]) != COUNTS:
        yield f"expected {COUNTS}, not {done.batch['status']} with {done.batch['request_counts']}"
    answered = sorted(str(result["custom_id"]) for result in done.results)
    if answered != sorted(line["custom_id"] for line in batch_lines()):
        yield "the batch's files do not answer every line once"
    statuses = Counter(job["status"] for job in done.lines)
    if statuses != {"succeeded": COUNTS["completed"], "failed": COUNTS["failed"]}:
        yield f"the batch counts {COUNTS}, its jobs are {dict(statuses)}"
    if any(job["status"] != "succeeded" for job in done.singles):
        yield f"of the single jobs, {sum(job['status'] != 'succeeded' for job in done.singles)} did not succeed"


def _money(client: PlainClient, before: Decimal, done: DemoResult) -> Iterator[str]:
    now = client.credits()
    lines, singles = _charged(done.lines), _charged(done.singles)
    statements = [one for one in client.invoices(limit=MOST_PAGE)["data"] if one["batch_id"] == done.batch["id"]]
    stated = [_exact(one["total"]) for one in statements]
    click.echo(
        f"\nCredits\n  before {credits_text(before)}, charged {credits_text(lines)} for the batch "
        f"and {credits_text(singles)} for {len(done.singles)} single jobs,\n"
        f"  left {credits_text(now['available'])}, still held {credits_text(now['held'])}"
    )
    for one in statements:
        click.echo(f"  statement no. {one['number']}: {credits_text(one['total'])} credits, {one['status']}")
    if before - lines - singles != _exact(now["available"]) or now["held"]:
        yield "the balance is not what was there less what was charged"
    if stated != [lines] or _exact(done.batch["credits_used"]) != lines:
        yield f"the batch says {done.batch['credits_used']}, its statements {stated}; its jobs were charged {lines}"


def _charged(jobs: Sequence[Job]) -> Decimal:
    return sum((_exact(job["usage"]["credits_used"]) for job in jobs if job["usage"]), Decimal(0))


def _exact(credits: object) -> Decimal:
    return Decimal(str(credits))


def _webhooks(client: PlainClient, inbox: Inbox) -> Iterator[str]:
    expected = {event["id"]: event["type"] for event in client.every_event()}
    inbox.wait_for(len(expected))
    click.echo(
        f"\nWebhooks\n  {len(inbox.events)} of {len(expected)} events received, both signatures verified on each"
    )
    for type, count in sorted(Counter(inbox.events.values()).items()):
        click.echo(f"  {type:16} {count:4}")
    if inbox.events != expected or inbox.forged:
        yield f"{len(expected) - len(inbox.events)} events did not arrive, {inbox.forged} signatures were wrong"
    if missing := EVENTS - set(inbox.events.values()):
        yield f"no {', '.join(sorted(missing))} came"


def _ledger(database_url: str) -> Iterator[str]:
    database = Database(database_url)
    seen, violations = database.read_sync(totals), database.read_sync(verify)
    database.close()
    verdict = "every balance exact, every hold resolved once" if not violations else f"{len(violations)} VIOLATIONS"
    click.echo(f"\nVerify\n  {seen['jobs']} jobs, {seen['transfers']} transfers, {seen['events']} events: {verdict}")
    yield from violations


def _await(holds: Callable[[], bool], seconds: float) -> None:
    deadline = clock.monotonic() + seconds
    while not holds() and clock.monotonic() < deadline:
        threading.Event().wait(0.05)


if __name__ == "__main__":
    main()

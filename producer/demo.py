"""`make demo`: the embedded stack, 300 jobs of all three types over three providers, some of which fail at first.

Shows what came of them, what was charged, which webhooks arrived and verify, and what the ledger says; exits with 1
when any of that is wrong. `python -m producer.demo`.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import httpx

from producer import jobfile, progress
from producer.client import FusionAI, Job
from producer.commands.output import credits_text
from producer.filerun import FileRun
from producer.state import StateDirectory
from shared import clock, signing
from shared.db import Database
from shared.settings import inherited
from shared.verify import totals, verify

START_SECONDS = 40.0
WEBHOOK_SECONDS = 30.0
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


class Inbox:
    """A webhook receiver: keeps every event that was signed well, by id, and counts those that were not."""

    def __init__(self) -> None:
        self.events: dict[str, str] = {}
        self.forged = 0
        self.secret = ""
        self._news = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                inbox.take(headers, body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Verify both signatures of a delivery, then keep it."""
        event = httpx.Response(200, content=body).json()
        with self._news:
            if signing.verify(headers, body, self.secret, now=clock.now_seconds()):
                self.events[event["id"]] = event["type"]
            else:
                self.forged += 1
            self._news.notify_all()

    def wait_for(self, count: int) -> bool:
        """Until that many different events have come."""
        with self._news:
            return self._news.wait_for(lambda: len(self.events) >= count, WEBHOOK_SECONDS)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def job_lines() -> list[jobfile.Line]:
    """300 jobs: chat on three providers, embeddings, images; a tenth of the chats meets trouble first."""
    jobs: list[dict[str, Any]] = []
    chat = ("gpt-4", "claude-3-sonnet", "gemini-pro", "gpt-3.5-turbo")
    for number in range(210):
        trouble = {3: BUSY, 13: BROKEN}.get(number % 20, "quiet hour")
        said = f"Question {number}, asked in a {trouble}: what is {number} times 7?"
        if number == 200:
            said = f"Question {number} is {REFUSED}."
        message = {"role": "user", "content": said}
        jobs.append({"type": "chat.completion", "model": chat[number % 4], "messages": [message], "max_tokens": 100})
    for number in range(80):
        text = [f"document {number}, first half", f"document {number}, second half"]
        jobs.append({"type": "embedding", "model": "text-embedding-3-large", "input": text, "dimensions": 64})
    for number in range(10):
        jobs.append({"type": "image", "model": "image-gen-2", "prompt": f"skyline number {number} at sunset"})
    return [jobfile.Line(number, None, job, 200) for number, job in enumerate(jobs, start=1)]


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
            raise click.ClickException(f"the stack did not start:\n{(directory / 'up.log').read_text()}")
        yield state
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def main() -> None:
    """Run it; the exit status says whether all was well."""
    with tempfile.TemporaryDirectory(prefix="fusionai-demo-") as directory:
        click.echo("Starting the embedded stack: Redis, SQLite, web, worker, sweeper, Flower, simulator …")
        with running_stack(Path(directory)) as state:
            problems = list(_run(state))
        click.echo("Stopped.")
    for problem in problems:
        click.secho(f"WRONG: {problem}", fg="red", err=True)
    sys.exit(1 if problems else 0)


def _run(state: StateDirectory) -> Iterator[str]:
    """The whole demo; what is wrong, as it is found."""
    stack, account = state.running(), state.first_account()
    httpx.post(f"{stack['simulator_url']}/_simulator/script", json=SCRIPT).raise_for_status()
    inbox = Inbox()
    with FusionAI(stack["base_url"], account["live_key"]) as client:
        before = Decimal(str(client.credits()["available"]))
        inbox.secret = client.create_webhook(inbox.url)["secret"]
        client.set_thresholds(THRESHOLDS)
        jobs = _submit(client)
        yield from _results(jobs)
        yield from _money(client, before, jobs)
        yield from _webhooks(client, inbox)
    inbox.close()
    yield from _ledger(stack["database_url"])


def _submit(client: FusionAI) -> list[Job]:
    run = FileRun(client, job_lines())
    began = clock.monotonic()
    click.echo(f"Submitting {len(run.lines)} jobs over the queues of openai, anthropic and google …")
    show = progress.bar if sys.stdout.isatty() else progress.plain
    with show() as told:
        run.send(lambda number: f"demo-{number}")
        run.wait(told)
    seconds = clock.monotonic() - began
    click.echo(f"  {run.tally.done} jobs ended in {seconds:.1f} s ({progress.rate(run.tally.done, seconds)}/s)")
    return run.ended()


def _results(jobs: list[Job]) -> Iterator[str]:
    counts = Counter((job["type"], job["status"]) for job in jobs)
    click.echo("\nResults")
    for (type, status), count in sorted(counts.items()):
        click.echo(f"  {type:16} {status:10} {count:4}")
    tries = Counter(len(job["attempts"]) for job in jobs)
    click.echo(
        "  attempts         " + ", ".join(f"{count} jobs took {number}" for number, count in sorted(tries.items()))
    )
    failed = [job for job in jobs if job["status"] == "failed"]
    for job in failed:
        click.echo(f"  {job['id']} failed: {(job['error'] or {}).get('message')}")
    if len(failed) != 1 or len(jobs) != 300 or counts.total() - len(failed) != 299:
        yield f"expected 299 jobs to succeed and the refused one to fail, not {dict(counts)}"
    if not (tries[2] and tries[3]):
        yield f"the simulated faults were not met with retries: {dict(tries)}"
    if any(job["result"] is None for job in jobs if job["status"] == "succeeded"):
        yield "a job succeeded without a result"


def _money(client: FusionAI, before: Decimal, jobs: list[Job]) -> Iterator[str]:
    now = client.credits()
    charged = sum((Decimal(str((job["usage"] or {})["credits_used"])) for job in jobs), Decimal(0))
    click.echo(
        f"\nCredits\n  before {credits_text(before)}, charged {credits_text(charged)}, "
        f"left {credits_text(Decimal(str(now['available'])))}, still held {credits_text(Decimal(str(now['held'])))}"
    )
    if before - charged != Decimal(str(now["available"])) or now["held"]:
        yield "the balance is not what was there less what was charged"


def _webhooks(client: FusionAI, inbox: Inbox) -> Iterator[str]:
    expected = {event["id"]: event["type"] for event in client.every_event()}
    inbox.wait_for(len(expected))
    click.echo(
        f"\nWebhooks\n  {len(inbox.events)} of {len(expected)} events received, both signatures verified on each"
    )
    for type, count in sorted(Counter(inbox.events.values()).items()):
        click.echo(f"  {type:16} {count:4}")
    if inbox.events != expected or inbox.forged:
        yield f"{len(expected) - len(inbox.events)} events did not arrive, {inbox.forged} signatures were wrong"
    if "credit.threshold" not in inbox.events.values():
        yield "the threshold was crossed and no credit.threshold came"


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

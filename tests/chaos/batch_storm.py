"""The storm over one large batch: the official SDK submits it, everything that serves it is killed at random, and the
small batches of another account are timed meanwhile."""

import random
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from openai import OpenAI

from shared import clock
from tests.chaos.storm import PAUSE_SECONDS, lapse, strike, victim
from tests.harness import Account, Stack, line

#: Small batches measured in each phase without kills.
MEASURED = 5
#: Kills of the `batches` process while it writes the files.
RENDER_KILLS = 2


@dataclass
class Report:
    """What was done, and the seconds that the small batches took."""

    lines: int
    kills: dict[str, int]
    alone: list[float] = field(default_factory=list)
    stormy: list[float] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)
    #: Lines of the large batch that had not ended when the last kill was over, and when the measuring was.
    left: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    calls: int = 0
    output: list[dict[str, Any]] = field(default_factory=list)
    batch: Any = None
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {kind}" for kind, count in self.kills.items())
        return (
            f"a batch of {self.lines} lines in {self.seconds:.0f} s, SIGKILLs: {kills}; {self.calls} provider calls; "
            f"{len(self.violations)} violations. A batch of 2 lines took {_shown(self.alone)} alone, "
            f"{_shown(self.behind)} behind {self.left[0]} to {self.left[1]} lines of it without kills, "
            f"{_shown(self.stormy)} while things were killed"
        )


def batch_storm(stack: Stack, *, lines: int, kills: Mapping[str, int], seed: int) -> Report:
    """Let it rage, let it be calm while the batch still runs, and audit. `kills`: how many of each kind."""
    chance, report = random.Random(seed), Report(lines, dict(kills))
    stack.script()
    large, small = stack.open_account(10 * lines, counted=True), stack.open_account()
    report.alone = [small_batch(stack, small) for _ in range(MEASURED)]
    began = clock.monotonic()
    with ThreadPoolExecutor(1) as client, sdk(stack, large) as openai:
        submission = client.submit(submit, openai, lines)
        with small_batches(stack, small) as report.stormy:
            rage(stack, kills, chance)
        stack.until(submission.done, seconds=120, what="the submission")
        id = submission.result()
        stack.submitted[id] = [custom_id(n) for n in range(lines)]
        stack.ready()
        report.left = (left(stack, id), 0)
        report.behind = [small_batch(stack, small) for _ in range(MEASURED)]
        report.left = (report.left[0], left(stack, id))
        report.kills["batches"] += kill_while_rendering(stack, id)
        stack.await_batch(id, seconds=600)
        report.seconds = clock.monotonic() - began
        report.batch = openai.batches.retrieve(id)
        content = openai.files.content(report.batch.output_file_id).read()
    report.output = [orjson.loads(one) for one in content.splitlines()]
    stack.end_claims()
    stack.quiet(seconds=120)
    report.calls, report.violations = stack.calls(), stack.violations()
    return report


def rage(stack: Stack, kills: Mapping[str, int], chance: random.Random) -> None:
    """Kill what there is to kill, in random order, with random pauses."""
    victims = [kind for kind, count in kills.items() for _ in range(count)]
    chance.shuffle(victims)
    for kind in victims:
        name = victim(stack, kind, chance)
        lapse(stack, chance.uniform(0, PAUSE_SECONDS))
        strike(stack, name, chance)


def kill_while_rendering(stack: Stack, id: str) -> int:
    """Each successor of the process begins the files anew; how many were killed."""
    stack.until(lambda: stack.batch(id).status != "in_progress", seconds=600, what="the last line's end")
    killed = 0
    while killed < RENDER_KILLS and stack.batch(id).status == "finalizing":
        before = stack.kills("batches")
        stack.kill("batches")
        stack.until(lambda before=before: stack.kills("batches") > before, what="its end")
        remains, killed = parts(stack), killed + 1
        stack.until(
            lambda remains=remains: parts(stack) - remains or stack.batch(id).status != "finalizing",
            what="its successor's work",
        )
    return killed


def parts(stack: Stack) -> set[Path]:
    """What is being written in storage, and what was when a process died."""
    return set((stack.directory / "files" / ".parts").glob("*"))


@contextmanager
def sdk(stack: Stack, account: Account) -> Iterator[OpenAI]:
    """The official SDK as a customer configures it; it tries again while its producer is dead."""
    with OpenAI(base_url=f"{stack.url('web')}/v1", api_key=account.live_key, max_retries=20, timeout=60) as client:
        yield client


def custom_id(number: int) -> str:
    """Of a line of the large batch."""
    return f"line-{number:05}"


def submit(client: OpenAI, count: int) -> str:
    """Upload the file and create the batch; its id. A try again must not be another one: each has a key."""
    content = b"".join(orjson.dumps(line(custom_id(n))) + b"\n" for n in range(count))
    once = [{"Idempotency-Key": clock.new_id("idem")} for _ in range(2)]
    file = client.files.create(file=("lines.jsonl", content), purpose="batch", extra_headers=once[0])
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", extra_headers=once[1]
    )
    return batch.id


def small_batch(stack: Stack, account: Account) -> float:
    """The seconds that two lines take, from the request to the end of their batch."""
    began = clock.monotonic()
    stack.await_batch(stack.submit_batch(account, [line("small 1"), line("small 2")]), seconds=120)
    return clock.monotonic() - began


@contextmanager
def small_batches(stack: Stack, account: Account) -> Iterator[list[float]]:
    """One after the other as long as the block; the seconds of each."""
    taken: list[float] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            taken.append(small_batch(stack, account))

    with ThreadPoolExecutor(1) as client:
        going = client.submit(go_on)
        try:
            yield taken
        finally:
            over.set()
        stack.until(going.done, seconds=180, what="the last small batch")
        going.result()


def left(stack: Stack, id: str) -> int:
    """Lines of a batch that have not ended."""
    row = stack.batch(id)
    return int(row.total - row.succeeded - row.failed)


def _shown(seconds: list[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2]:.2f} s (at most {max(seconds):.2f} s, {len(seconds)} times)"

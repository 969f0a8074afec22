"""The crash storm: jobs and batches arrive without pause while processes of every kind, and the broker, are killed."""

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from shared import clock
from tests.harness import Account, Stack, chat, line
from tests.receiver import Answer

#: Processes of the stormed stack; a kind's victim is one of its names.
NAMES = ("web", "web2", "worker", "worker2", "batches", "batches2", "sweeper")
#: Between two kills, in seconds at most: a worker needs one to start.
PAUSE_SECONDS = 1.0
#: Clients that submit at once.
CLIENTS = 4
MODELS = ("gpt-3.5-turbo", "claude-3-sonnet", "gemini-pro")
#: What happens to a job, by its text: most are quick, some slow or failing at first, a few refused for good.
FATES = ("quick", "slow", "flaky", "bad")
RULES = (
    {"fault": {"latency_seconds": 1.5}, "contains": "slow"},
    {"fault": {"status": 503}, "contains": "flaky", "times": 1, "each": True},
    {"fault": {"status": 400}, "contains": "bad"},
)
#: Every so many turns the jobs that would be a list are a batch.
BATCH_TURNS = 3


class Part:
    """Something that the account does while the storm rages. Calls wait while there is nobody to answer them."""

    #: What came of it, for the report; empty: nothing.
    said = ""
    #: Jobs that it had accepted, beside those of the storm.
    accepted = 0

    def begin(self, stack: Stack, account: Account) -> None:
        """Before the first job."""

    def turn(self, stack: Stack, account: Account, turn: int) -> None:
        """At each kill, on a client's thread."""

    def violations(self, stack: Stack, account: Account) -> list[str]:
        """Once all is quiet: what is not as it must be."""
        return []


@dataclass
class Report:
    """What the storm did, and what came of it."""

    kills: Mapping[str, int]
    seconds: float = 0.0
    calls: int = 0
    batches: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    doubled_events: int = 0
    violations: list[str] = field(default_factory=list)
    #: What the storm's parts have to tell.
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        jobs = sum(self.statuses.values())
        kills = ", ".join(f"{count} {kind}" for kind, count in self.kills.items())
        return (
            f"storm: {jobs} jobs, {self.batches} batches among them, in {self.seconds:.0f} s, SIGKILLs: {kills}; "
            f"ended {self.statuses}; "
            f"{self.calls} provider calls; {self.counters}; {self.doubled_events} events came more than once; "
            f"{len(self.violations)} violations" + "".join(f"; {said}" for said in self.said)
        )


def storm(
    stack: Stack,
    *,
    jobs: int,
    kills: Mapping[str, int],
    seed: int,
    seconds: float,
    models: Sequence[str] = MODELS,
    parts: Sequence[Part] = (),
) -> Report:
    """Let it rage, wait up to `seconds` until all is quiet, and audit. `kills`: how many of each kind.

    `parts`: what else the account does meanwhile, and what must be true of that at the end.
    """
    chance, began = random.Random(seed), clock.monotonic()
    account = stack.open_account(20 * jobs, counted=True)
    stack.script(*RULES)
    for part in parts:
        part.begin(stack, account)
    stack.inbox.answer = lambda _, times: Answer(503) if times < 3 and random.random() < 0.3 else Answer()
    victims = [kind for kind, count in kills.items() for _ in range(count)]
    chance.shuffle(victims)
    with ThreadPoolExecutor(CLIENTS) as clients:
        loads = []
        for turn, kind in enumerate(victims):
            name = victim(stack, kind, chance)
            count = jobs * (turn + 1) // len(victims) - jobs * turn // len(victims)
            for chunk in _chunks(turn, count, chance):
                submit = _submit_batch if len(chunk) > 1 and turn % BATCH_TURNS == 0 else _submit
                loads.append(clients.submit(submit, stack, account, chunk, models))
            loads += [clients.submit(part.turn, stack, account, turn) for part in parts]
            lapse(stack, chance.uniform(0, PAUSE_SECONDS))
            strike(stack, name, chance)
        stack.until(lambda: all(load.done() for load in loads), seconds=120, what="every submission")
        for load in loads:
            load.result()
    stack.ready()
    stack.end_claims()
    stack.quiet(seconds=seconds)
    report = _report(stack, kills, clock.monotonic() - began)
    report.violations += [line for part in parts for line in part.violations(stack, account)]
    report.said = [part.said for part in parts if part.said]
    return report


def _chunks(turn: int, count: int, chance: random.Random) -> list[list[str]]:
    """The texts of one turn's jobs: the first tenth alone, the rest in a list."""
    texts = [f"{chance.choices(FATES, (80, 10, 9, 1))[0]} {turn} {n}" for n in range(count)]
    alone = -(-count // 10)
    return [*([text] for text in texts[:alone]), *([texts[alone:]] if texts[alone:] else [])]


def _submit(stack: Stack, account: Account, texts: list[str], models: Sequence[str]) -> None:
    stack.submit(account, [chat(text, model=models[len(text) % len(models)]) for text in texts])


def _submit_batch(stack: Stack, account: Account, texts: list[str], models: Sequence[str]) -> None:
    lines = [line(text, model=models[len(text) % len(models)]) for text in texts]
    stack.submit_batch(account, lines, upload=len(texts) % 2 == 0, notify_each=len(texts) % 4 < 2)


def lapse(stack: Stack, seconds: float) -> None:
    """Let a moment pass, tending the processes."""
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    stack.until(over.is_set, what="a moment")
    timer.join()


def victim(stack: Stack, kind: str, chance: random.Random) -> str:
    """The broker, or a process of that kind that is at work."""
    if kind == "broker":
        return kind
    name = chance.choice([name for name in stack.processes if name.startswith(kind)])
    stack.until(lambda: stack.up(name), what=f"{name} to kill")
    return name


def strike(stack: Stack, name: str, chance: random.Random) -> None:
    """Kill it; the broker is away for a moment."""
    if name != "broker":
        stack.kill(name)
        return
    stack.redis.kill()
    lapse(stack, chance.uniform(0, PAUSE_SECONDS))
    stack.redis.start()


def _report(stack: Stack, kills: Mapping[str, int], seconds: float) -> Report:
    report = Report(kills, seconds, stack.calls())
    report.batches = len(stack.submitted)
    report.statuses = {r.status: r.n for r in stack.rows("SELECT status, count(*) AS n FROM jobs GROUP BY status")}
    totals = "SELECT name, sum(value) AS value FROM counters WHERE labels = '' GROUP BY name ORDER BY name"
    report.counters = {row.name: int(row.value) for row in stack.rows(totals)}
    report.doubled_events = sum(times > 1 for times in (+Counter(stack.inbox.taken)).values())
    report.violations = stack.violations()
    report.violations += _unlike_their_fate(stack)
    return report


def _unlike_their_fate(stack: Stack) -> list[str]:
    """Jobs that ended otherwise than their text says: nobody asked for a cancel, and no job killed its worker."""
    query = """SELECT j.id, j.status, p.request, r.error FROM jobs j
               JOIN job_payloads p ON p.job_id = j.id LEFT JOIN job_results r ON r.job_id = j.id"""
    return [
        f"{row.id} ended {row.status}: {row.error}"
        for row in stack.rows(query)
        if row.status != ("failed" if '"bad ' in row.request else "succeeded")
        or (row.status == "failed" and '"invalid_request"' not in row.error)
    ]

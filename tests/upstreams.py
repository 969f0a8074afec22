"""Upstreams as they are outside: they limit, are down for a while, refuse the key, hang; and batches against them.

All batches run at once in one stack, each against a provider of its own, so that one's trouble may be seen to be
another's. What came of each is judged by its rows and by its provider's own log.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.catalogues import served, written
from tests.harness import Account, Stack, line
from tests.servers import RedisServer, migrated_sqlite
from workers.simulator.server import SimulatorProcess

#: The one that Google's words and RetryInfo come from; every other provider is named as its upstream.
GOOGLE = "google"
#: The one that stands at an address of its own, since it refuses connections.
UNREACHABLE = "unreachable"
MAX_TOKENS = 16


@dataclass(frozen=True)
class Upstream:
    """One provider: what it admits, and what goes wrong with it for a while."""

    name: str
    limit: Mapping[str, Any] = field(default_factory=dict)
    fault: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """What its lines ask for."""
        return "gemini-pro" if self.name == GOOGLE else self.name


@dataclass(frozen=True)
class Sizes:
    """How much of it: lines a batch, what is admitted in a minute and at once, and how long outages last."""

    lines: int
    requests_per_minute: float
    burst: int
    outage_seconds: float
    #: A line's tokens as its provider counts them, about.
    line_tokens: int = 30

    def upstreams(self) -> list[Upstream]:
        """One of each kind."""
        requests = {"requests_per_minute": self.requests_per_minute, "request_burst": self.burst}
        tokens = {
            "tokens_per_minute": self.requests_per_minute * self.line_tokens,
            "token_burst": self.burst * self.line_tokens,
        }
        silent = {"retry_after": "none", "headers": False}
        return [
            Upstream("requests", requests),
            Upstream("requests-silent", requests | silent),
            Upstream("tokens", tokens),
            Upstream("tokens-silent", tokens | silent),
            Upstream(GOOGLE, requests),
            Upstream("unavailable", fault={"status": 503}),
            Upstream("refuses-key", fault={"status": 401, "code": "invalid_api_key"}),
            Upstream("silent", fault={"kind": "hang"}),
            Upstream(UNREACHABLE),
        ]


@dataclass
class Outcome:
    """What came of a batch: its row, and the calls that its provider saw."""

    upstream: Upstream
    batch: Any
    counts: Mapping[str, int]
    log: Sequence[Mapping[str, Any]]
    line_tokens: float

    @property
    def refused_share(self) -> float:
        """The share of calls that met a 429."""
        return self.counts["refused"] / max(self.counts["total"], 1)

    @property
    def used_share(self) -> float:
        """Calls admitted, of those that the limit would have let in between the first call and the last."""
        limit, calls = self.upstream.limit, [row["at"] for row in self.log if row["outcome"] == "admitted"]
        size, rate, cost = limit.get("request_burst"), limit.get("requests_per_minute"), 1.0
        if rate is None:
            size, rate, cost = limit["token_burst"], limit["tokens_per_minute"], self.line_tokens
        took = max(calls) - min(row["at"] for row in self.log)
        return (len(calls) * cost - size) / (rate * took / 60)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {self.counts[name]}" for name in ("total", "admitted", "refused", "faulty"))
        used = f", {self.used_share:.2f} of the limit" if self.upstream.limit else ""
        last = max((row["at"] for row in self.log), default=0.0)
        return (
            f"{self.upstream.name}: {self.batch.status}, {self.batch.succeeded} of {self.batch.total}, {last:.0f} s; "
            f"calls: {counts}; 429: {self.refused_share:.1%}{used}"
        )


@contextmanager
def stack_of(directory: Path, sizes: Sizes, *, names: Sequence[str], **given: str) -> "Iterator[Upstreams]":
    """A stack whose providers are these upstreams."""
    with ExitStack() as opened:
        away = opened.enter_context(SimulatorProcess())
        rows = [served(one.name) for one in sizes.upstreams() if one.name not in (GOOGLE, UNREACHABLE)]
        rows.append(served(UNREACHABLE, base_url=f"{away.url}/{UNREACHABLE}/v1", key="UNREACHABLE_KEY"))
        redis = RedisServer().start()
        opened.callback(redis.stop)
        url = migrated_sqlite(directory / "upstreams.sqlite3")
        keys = {"UNREACHABLE_KEY": "k"}
        own = Stack(directory, url, redis, names=names, environment=keys, CATALOGUE=written(directory, *rows), **given)
        yield Upstreams(opened.enter_context(own), away, sizes)


@dataclass
class Upstreams:
    """The running stack, and the simulator of the provider that is not there for a while."""

    stack: Stack
    away: SimulatorProcess
    sizes: Sizes

    def run(self, *, kill: Sequence[str] = (), seconds: float) -> dict[str, Outcome]:
        """A batch for each upstream, all at once; what came of each when all had ended, or the time was over.

        `kill`: processes that are killed twice meanwhile, when few lines have ended and when half of them have.
        """
        account, upstreams = self.stack.open_account(10_000_000), self.sizes.upstreams()
        workers = [name for name in self.stack.processes if name.startswith("worker")]
        for name in workers:  # so that every batch is there before the outages begin
            self.stack.terminate(name)
        ids = {one.name: self._submit(account, one) for one in upstreams}
        self.stack.until(lambda: self._stored(len(upstreams)), seconds=seconds, what="all lines' jobs")
        self._order(upstreams)
        for name in workers:
            self.stack.start(name)
        self.stack.ready()
        self._go_away()
        with suppress(AssertionError):
            for share in (0.1, 0.5) if kill else ():
                self.stack.until(lambda share=share: self._ended() >= share, seconds=seconds)
                for name in kill:
                    self.stack.kill(name)
            self.stack.until(lambda: self._over(ids.values()), seconds=seconds)
        outcomes = {one.name: self._outcome(one, ids[one.name]) for one in upstreams}
        print("", *outcomes.values(), sep="\n")
        return outcomes

    def _over(self, ids: Iterable[str]) -> bool:
        return all(self.stack.batch(id).status in ("completed", "failed", "expired") for id in ids)

    def _submit(self, account: Account, upstream: Upstream) -> str:
        lines = [
            line(f"{upstream.name} {number:05}", model=upstream.model, max_tokens=MAX_TOKENS)
            for number in range(self.sizes.lines)
        ]
        return self.stack.submit_batch(account, lines, upload=True)

    def _order(self, upstreams: Sequence[Upstream]) -> None:
        """The limits from now on, the outages from the first call of each."""
        limits = [{"provider": one.name, **one.limit} for one in upstreams if one.limit]
        window = {"from_first_call": True, "for_seconds": self.sizes.outage_seconds}
        rules = [{"provider": one.name, "fault": one.fault, **window} for one in upstreams if one.fault]
        self.stack.script(*rules, limits=limits)

    def _go_away(self) -> None:
        """One provider refuses connections."""
        httpx.delete(f"{self.away.url}/_simulator/script").raise_for_status()
        down = {"seconds": self.sizes.outage_seconds}
        httpx.post(f"{self.away.url}/_simulator/down", json=down).raise_for_status()

    def _stored(self, batches: int) -> bool:
        return int(self.stack.rows("SELECT count(*) FROM jobs")[0][0]) == batches * self.sizes.lines

    def _ended(self) -> float:
        """The share of all lines that have ended."""
        total = len(self.sizes.upstreams()) * self.sizes.lines
        ended = "SELECT count(*) FROM jobs WHERE status NOT IN ('queued', 'running')"
        return float(self.stack.rows(ended)[0][0] / total)

    def _outcome(self, upstream: Upstream, id: str) -> Outcome:
        where = self.away.url if upstream.name == UNREACHABLE else self.stack.simulator.url
        told = [
            httpx.get(f"{where}/_simulator/{what}", params={"provider": upstream.name}).json()
            for what in ("seconds", "log")
        ]
        prompt = "SELECT avg(prompt_tokens) FROM job_results JOIN jobs ON jobs.id = job_id WHERE batch_id = :id"
        tokens = float(self.stack.rows(prompt, id=id)[0][0] or 0) + MAX_TOKENS
        return Outcome(upstream, self.stack.batch(id), told[0], told[1]["calls"], tokens)

"""The progress of a batch: lines in place on a terminal, a plain line now and then in a pipe, nothing with --json."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fusionai.plain.objects import BatchProgress, ProviderProgress
from producer.cli import activity, rates
from producer.cli.output import awaited, console_on
from producer.cli.rates import Cell, Rate
from producer.terminal import one_line
from shared import clock

#: How often a terminal's lines are drawn anew.
_DRAWN_A_SECOND = 4.0
_MEGABYTE = 1_000_000
_GAP = "  "


@dataclass(frozen=True)
class BatchTally:
    """How it stands: lines of a batch, or bytes of its file while that is sent."""

    total: int
    done: int = 0
    failed: int = 0
    credits: float = 0
    #: What it does while it is not at its lines, or what is in the way.
    phase: str = ""
    providers: tuple[ProviderProgress, ...] = ()
    #: When the batch was made, in seconds since the epoch; 0 before.
    created_at: int = 0
    #: `done` and `total` are bytes.
    upload: bool = False
    #: Shown again as it was, since nothing could be asked.
    stale: bool = False

    @classmethod
    def of(cls, found: BatchProgress, *, lines: int = 0) -> "BatchTally":
        """A batch's; `lines` are known before the server has read them."""
        counts = found["request_counts"]
        phase: str = "" if found["status"] in ("in_progress", "completed") else found["status"]
        phase = f"waiting for {waited}" if (waited := awaited(found)) else phase
        done, providers = counts["completed"] + counts["failed"], tuple(found["providers"])
        total, made = counts["total"] or lines, found["created_at"]
        return cls(total, done, counts["failed"], found["credits_used"], phase, providers, made)


ShowTally = Callable[[BatchTally], None]


class Board:
    """The latest tally and the rates, and the text for them at any moment."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._tally = BatchTally(0)
        self._rate = Rate()
        self._rates: dict[str, Rate] = {}

    def update(self, tally: BatchTally) -> None:
        """Take the tally of now."""
        now = clock.monotonic()
        if tally.upload != self._tally.upload:
            self._rate = Rate()
        if tally.created_at and not self._tally.created_at:
            made_ago = clock.now_seconds() - tally.created_at
            self._began = min(self._began, now - max(0.0, made_ago))
        if not tally.stale:
            self._look(tally, now)
        self._tally = tally

    def _look(self, tally: BatchTally, now: float) -> None:
        self._rate.look(now, tally.done)
        for one in tally.providers:
            self._rates.setdefault(one["provider"], Rate()).look(now, one["completed"] + one["failed"])

    def lines(self, width: int) -> list[tuple[str, float, int]]:
        """For a terminal: text, and of the first the bar's share and width (0: a line without a bar)."""
        tally = self._tally
        bar, texts = rates.fit(width, self._cells())
        drawn = [(_GAP.join(filter(None, texts)), tally.done / tally.total if tally.total else 0.0, bar)]
        hidden = f"{tally.failed:,} failed" if tally.failed and not tally.upload and texts[-1] is None else ""
        remarks = _GAP.join(filter(None, (tally.phase, hidden)))
        return [*drawn, *((one_line(text), 0.0, 0) for text in [remarks, *self._provider_lines(width)] if text)]

    def plain(self) -> str:
        """In a line."""
        tally, now = self._tally, clock.monotonic()
        elapsed = f"{rates.time_text(now - self._began)} elapsed"
        if tally.upload:
            return f"{tally.done / _MEGABYTE:,.1f}/{tally.total / _MEGABYTE:,.1f} MB sent, {elapsed}"
        rate = self._rate.at(now)
        left = rates.seconds_left(tally.total - tally.done, rate)
        parts = [f"{tally.done:,}/{tally.total:,} done", rates.rate_text(rate)]
        parts += [elapsed, f"{rates.time_text(left)} left"]
        parts += [f"{_credits(tally.credits)} credits", f"{tally.failed:,} failed" if tally.failed else "", tally.phase]
        waits = [f"{one['provider']} {_waiting(one)}" for one in tally.providers if one["waiting_for"]]
        return one_line(", ".join(filter(None, parts + waits)))

    def _cells(self) -> list[Cell]:
        return self._upload_cells() if self._tally.upload else self._batch_cells()

    def _batch_cells(self) -> list[Cell]:
        """Count, percent, rate, elapsed, left, credits and, last, failures."""
        tally, now = self._tally, clock.monotonic()
        rate, elapsed = self._rate.at(now), rates.time_text(now - self._began)
        left = rates.time_text(rates.seconds_left(tally.total - tally.done, rate))
        total, spent = f"{tally.total:,}", f"{_credits(tally.credits):>8}"
        return [
            Cell(0, (f"{tally.done:>{len(total)},}/{total}",)),
            Cell(3, (f"{_percent(tally):>3}%",)),
            Cell(2, (f"{rates.rate_text(rate):>7}",)),
            Cell(6, (f"{elapsed} elapsed", elapsed)),
            Cell(1, (f"{left} left",)),
            Cell(5, (f"{spent} credits", f"{spent} cr")),
            Cell(4, (f"{tally.failed:>{len(total)},} failed",)),
        ]

    def _upload_cells(self) -> list[Cell]:
        tally, now = self._tally, clock.monotonic()
        rate, total = self._rate.at(now), f"{tally.total / _MEGABYTE:,.1f}"
        speed = "-" if rate is None else f"{rate / _MEGABYTE:,.1f}"
        left = rates.time_text((tally.total - tally.done) / rate if rate else None)
        return [
            Cell(0, (f"{tally.done / _MEGABYTE:>{len(total)},.1f}/{total} MB",)),
            Cell(2, (f"{_percent(tally):>3}%",)),
            Cell(3, (f"{speed:>6} MB/s",)),
            Cell(4, (f"{rates.time_text(now - self._began)} elapsed",)),
            Cell(1, (f"{left} left",)),
        ]

    def _provider_lines(self, width: int) -> list[str]:
        """`openai  412/660  37/s  9 failed  waiting: 429 (12 s)`, in columns."""
        found = self._tally.providers
        name = max((len(one["provider"]) for one in found), default=0)
        count = max((len(f"{one['total']:,}") for one in found), default=0)
        failed = max((len(_failed(one)) for one in found), default=0)
        lines, now = [], clock.monotonic()
        for one in found:
            done = one["completed"] + one["failed"]
            rate = self._rates[one["provider"]].at(now) if one["provider"] in self._rates else None
            cells = [
                Cell(0, (f"{one['provider']:<{name}}",)),
                Cell(1, (f"{done:>{count},}/{one['total']:>{count},}",)),
                Cell(3, (f"{rates.rate_text(rate) if done < one['total'] else '':>7}",)),
                Cell(4, (f"{_failed(one):>{failed}}",)),
                Cell(2, tuple(dict.fromkeys((_waiting(one), _waiting(one, short=True))))),
            ]
            lines.append(_GAP.join(filter(None, rates.fit(width, cells, bar=False)[1])).rstrip())
        return lines


@contextmanager
def bar() -> Iterator[ShowTally]:
    """A bar with its numbers, and a line for each provider; made anew four times a second, whatever happens."""
    board, console = Board(), console_on(stderr=True)

    def drawn() -> Group:
        return Group(*(_drawn(*line) for line in board.lines(console.width)))

    with Live(get_renderable=drawn, console=console, refresh_per_second=_DRAWN_A_SECOND, transient=True):
        yield board.update


@contextmanager
def plain() -> Iterator[ShowTally]:
    """A line every few seconds."""
    board = Board()
    with activity.ticking(board.plain):
        yield board.update


@contextmanager
def silent() -> Iterator[ShowTally]:
    yield lambda tally: None


def _drawn(text: str, share: float, width: int) -> RenderableType:
    """A line, with a bar of `width` cells before it, if it has one."""
    if not width:
        return Text(text, style="cyan")
    row = Table.grid(padding=(0, len(_GAP), 0, 0))
    row.add_column(width=width)
    row.add_column(no_wrap=True)
    row.add_row(ProgressBar(1.0, share, width=width, complete_style="green", finished_style="green"), Text(text))
    return row


def _waiting(one: ProviderProgress, *, short: bool = False) -> str:
    """`waiting: 429 (12 s)`: why lines of a provider wait, and how long yet."""
    if not one["waiting_for"]:
        return ""
    seconds = (one["until"] or 0) - clock.now_seconds()
    return f"waiting: {one['waiting_for']}" + (f" ({seconds:,} s)" if seconds > 0 and not short else "")


def _failed(one: ProviderProgress) -> str:
    return f"{one['failed']:,} failed" if one["failed"] else ""


def _percent(tally: BatchTally) -> int:
    """Whole ones, downwards: 100 is all of it."""
    return 100 * tally.done // tally.total if tally.total else 0


def _credits(value: float) -> str:
    """In eight characters up to ten millions."""
    return f"{value:,.2f}" if value < 9_999.995 else f"{value:,.0f}"

"""Compares an export with the ledger's calls: by request id where the export has them, else by day and model.

The rows of calls are put into a file beside, so that a million of them take no memory.
"""

import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from producer.reconcile.exported import CLASSES, Counts, ExportError, ExportRow
from producer.reconcile.ledger_calls import LedgerCall

#: Calls that are named of each kind.
MOST_NAMED: Final = 20
#: What providers put behind a model's id in a snapshot of it: `-2024-08-06`, `-20250514`, `@20250514`, `-latest`.
_SNAPSHOT: Final = re.compile(r"(?:[-@]20[0-9]{2}-?[0-9]{2}-?[0-9]{2}|-latest)$")


@dataclass
class Group:
    """A day (UTC) at a model. The provider's counts are `theirs`, the ledger's `ours`, of the calls that match.

    Where the export has no request ids, all that it counts is `theirs` and all that was charged is `ours`.
    """

    day: str
    model: str
    theirs: Counter[str] = field(default_factory=Counter)
    ours: Counter[str] = field(default_factory=Counter)
    #: What the provider counts of calls whose answers were of no use; of calls that no job has.
    uncharged: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    #: What was charged of calls whose request id is not known, of earlier versions, where the export has ids.
    unnamed: Counter[str] = field(default_factory=Counter)
    #: Calls that were charged and that the provider does not count; that may have been answered, and are not named.
    missing: int = 0
    perhaps: int = 0
    estimated: int = 0
    cost_nanos: int | None = None
    charged_micros: int = 0

    @property
    def known(self) -> tuple[str, ...]:
        """The classes that the export has."""
        return tuple(name for name in CLASSES if name in self.theirs or name in self.uncharged or name in self.unknown)

    @property
    def drift(self) -> dict[str, int]:
        """By how much the provider counts more than the ledger, by class; without those that agree."""
        classes = self.known or (() if self.cost_nanos is not None else CLASSES)
        found = {name: self.theirs[name] - self.ours[name] for name in classes}
        return {name: count for name, count in found.items() if count}

    def exceeds(self, tolerance: float) -> bool:
        """Whether a class drifts by more than this share of what the provider counts, or its cost does."""
        drifts = any(abs(count) > tolerance * max(self.theirs[name], 1) for name, count in self.drift.items())
        return drifts or self.loss_nanos(tolerance) > 0

    def loss_nanos(self, tolerance: float) -> int:
        """What the provider's cost is above the charges, in thousandths of a micro-credit; 0 within this share of them,
        and where there are calls that cost without being charged, of which it may be.
        """
        if self.cost_nanos is None or self.uncharged or self.unknown or self.perhaps:
            return 0
        charged = self.charged_micros * 1_000
        return self.cost_nanos - charged if self.cost_nanos > charged * (1 + tolerance) else 0


@dataclass
class Comparison:
    """What was found. `repeated` and `missing` name some of their calls."""

    by_request_id: bool
    groups: list[Group]
    #: Calls that the provider counts and no job has: id, day, model, tokens.
    repeated: list[dict[str, Any]]
    #: Calls that were charged and that the provider does not count: job, id, day, model.
    missing: list[dict[str, Any]]

    def total(self, name: str) -> int:
        """The sum over all groups of one of their numbers."""
        return sum(getattr(group, name) or 0 for group in self.groups)

    def calls(self, name: str) -> int:
        """The same of the calls in one of their counts."""
        return sum(getattr(group, name)["calls"] for group in self.groups)

    @property
    def unexplained(self) -> int:
        """Calls that no job has, beyond those that workers were lost with, and those whose id is not known."""
        return max(0, self.calls("unknown") - self.calls("unnamed") - self.total("perhaps"))

    @property
    def uncounted(self) -> int:
        """Calls that were charged and that the provider does not count."""
        return self.total("missing") + max(0, self.calls("unnamed") - self.calls("unknown"))

    def is_exact(self, tolerance: float) -> bool:
        """Whether nothing drifts by more than the tolerance, and no call is unaccounted for."""
        drifting = any(group.exceeds(tolerance) for group in self.groups)
        allowed = tolerance * max(self.calls("theirs"), 1)
        return not drifting and self.unexplained <= allowed and self.uncounted <= allowed


class Reconciler:
    """Takes the export's rows, then the ledger's calls; `result` says what came of it. Use within `with`."""

    def __init__(self, first_day: str | None = None, last_day: str | None = None) -> None:
        self._first, self._last = first_day, last_day
        self._groups: dict[tuple[str, str], Group] = {}
        self._missing: list[dict[str, Any]] = []
        self._named = 0
        #: The days of the export, as far as they were asked for; None before its first row.
        self.days: tuple[str, str] | None = None
        self.providers: set[str] = set()

    def __enter__(self) -> "Reconciler":
        self._directory = tempfile.TemporaryDirectory(prefix="fusionai-reconcile-")
        self._file = sqlite3.connect(Path(self._directory.name) / "calls.sqlite3", isolation_level=None)
        self._file.executescript(_SCHEMA)
        return self

    def __exit__(self, *_: object) -> None:
        with closing(self._file):
            pass
        self._directory.cleanup()

    @property
    def by_request_id(self) -> bool:
        """The export names its calls."""
        return self._named > 0

    def take(self, rows: Iterable[ExportRow]) -> None:
        """The export's rows, of the days that were asked for; ExportError when it names a call twice."""
        self._file.execute("BEGIN")
        for row in rows:
            if (self._first or row.day) <= row.day <= (self._last or row.day):
                first, last = self.days or (row.day, row.day)
                self.days = min(first, row.day), max(last, row.day)
                self.providers |= {row.provider} if row.provider else set()
                self._take(row)
        self._file.execute("COMMIT")

    def _take(self, row: ExportRow) -> None:
        group = self._group(row.day, row.model)
        if row.cost_nanos is not None:
            group.cost_nanos = (group.cost_nanos or 0) + row.cost_nanos
        if row.request_id is None:
            _add(group.theirs, row.counts)
            return
        counts = [row.counts.get(name) for name in CLASSES]
        try:
            self._file.execute(_INSERT, [row.request_id, row.day, row.model, *counts])
        except sqlite3.IntegrityError:
            raise ExportError(row.where, f"request id {row.request_id} is in the file twice") from None
        self._named += 1

    def check(self, calls: Iterable[LedgerCall]) -> None:
        """The ledger's calls of these providers, in any order; those of a day more on both sides may match."""
        first, last = self.days or ("", "")
        for call in calls:
            inside = (self._first or first) <= call.day <= (self._last or last)
            rows = [row for id in call.request_ids if (row := self._seen(id)) is not None]
            if rows:
                self._matched(call, rows)
            elif inside:
                self._unmatched(call)

    def _seen(self, id: str) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._file.execute(_SEEN, [id]).fetchone()
        return row

    def _matched(self, call: LedgerCall, rows: list[tuple[Any, ...]]) -> None:
        """A call of both sides counts on the provider's day."""
        group = self._group(rows[0][0], rows[0][1])
        counted: Counter[str] = Counter()
        for _, _, *counts in rows:
            _add(counted, {name: count for name, count in zip(CLASSES, counts, strict=True) if count is not None})
        if call.state != "charged":
            _add(group.uncharged, counted)
            return
        counted["calls"] = 1
        _add(group.theirs, counted)
        self._charge(group, call)

    def _charge(self, group: Group, call: LedgerCall) -> None:
        _add(group.ours, call.counts or {})
        group.charged_micros += call.micros
        group.estimated += call.estimated

    def _unmatched(self, call: LedgerCall) -> None:
        group = self._group(call.day, call.upstream)
        if call.state == "unknown":
            group.perhaps += 1
        elif call.state == "charged" and not self.by_request_id:
            self._charge(group, call)
        elif call.state == "charged" and not call.request_ids:
            _add(group.unnamed, call.counts or {})
            group.charged_micros += call.micros
        elif call.state == "charged":
            group.missing += 1
            group.charged_micros += call.micros
            if len(self._missing) < MOST_NAMED:
                ids = " ".join(call.request_ids) or None
                self._missing.append({"job": call.job_id, "request_id": ids, "day": call.day, "model": call.upstream})
        elif not call.request_ids or not self.by_request_id:
            group.perhaps += 1

    def result(self, known_models: Iterable[str]) -> Comparison:
        """What was found; snapshots of models are counted with the model that is known (`known_models`: upstream)."""
        for day, model, *counts in self._file.execute(_UNSEEN_SUMS):
            _add(self._group(day, model).unknown, dict(zip(CLASSES, counts, strict=True)))
        known = {*known_models}
        merged: dict[tuple[str, str], Group] = {}
        for (day, model), group in sorted(self._groups.items()):
            name = known_model(model, known)
            into = merged.setdefault((day, name), Group(day, name))
            _merge(into, group)
        repeated = [
            {"request_id": id, "day": day, "model": model, "tokens": tokens or 0}
            for id, day, model, tokens in self._file.execute(_UNSEEN, [MOST_NAMED])
        ]
        return Comparison(self.by_request_id, [*_balanced(merged.values())], repeated, self._missing)

    def _group(self, day: str, model: str) -> Group:
        return self._groups.setdefault((day, model), Group(day, model))


def known_model(id: str, known: Iterable[str]) -> str:
    """A provider's id of a model as the catalogue has it: exactly, or without what makes it a snapshot.

    >>> known_model("claude-opus-4-6-20260101", {"claude-opus-4-6"}), known_model("gpt-4o", {"gpt-4o-2024-08-06"})
    ('claude-opus-4-6', 'gpt-4o-2024-08-06')
    """
    if id in known:
        return id
    bare = _SNAPSHOT.sub("", id)
    if bare in known:
        return bare
    same = sorted(one for one in known if _SNAPSHOT.sub("", one) == bare)
    return same[0] if len(same) == 1 else id


def _balanced(groups: Iterable[Group]) -> Iterator[Group]:
    """Those with something in them. A report that is not grouped by model is compared with all models of its day."""
    rows = list(groups)
    if any(group.model == "" for group in rows):
        days: dict[str, Group] = {}
        for group in rows:
            _merge(days.setdefault(group.day, Group(group.day, "")), group)
        rows = list(days.values())
    return (group for group in rows if any(vars(group)[name] for name in _NUMBERS))


_NUMBERS: Final = (
    "theirs",
    "ours",
    "uncharged",
    "unknown",
    "unnamed",
    "missing",
    "perhaps",
    "cost_nanos",
    "charged_micros",
)


def _merge(into: Group, group: Group) -> None:
    for name in ("theirs", "ours", "uncharged", "unknown", "unnamed"):
        _add(getattr(into, name), getattr(group, name))
    for name in ("missing", "perhaps", "estimated", "charged_micros"):
        setattr(into, name, getattr(into, name) + getattr(group, name))
    if group.cost_nanos is not None:
        into.cost_nanos = (into.cost_nanos or 0) + group.cost_nanos


def _add(into: Counter[str], counts: Counts | Mapping[str, int | None]) -> None:
    for name, count in counts.items():
        if count is not None:
            into[name] += count


_SCHEMA: Final = f"""CREATE TABLE calls (id TEXT PRIMARY KEY, day TEXT, model TEXT,
  {", ".join(f'"{name}" INTEGER' for name in CLASSES)}, seen INTEGER DEFAULT 0) WITHOUT ROWID;
  PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"""
_INSERT: Final = f"INSERT INTO calls VALUES ({', '.join('?' * (3 + len(CLASSES)))}, 0)"
_COLUMNS: Final = ", ".join(f'"{name}"' for name in CLASSES)
_SEEN: Final = f"UPDATE calls SET seen = 1 WHERE id = ? AND seen = 0 RETURNING day, model, {_COLUMNS}"
_UNSEEN_SUMS: Final = f"""SELECT day, model, {", ".join(f'sum("{name}")' for name in CLASSES)} FROM calls
  WHERE seen = 0 GROUP BY day, model ORDER BY day, model"""
_UNSEEN: Final = """SELECT id, day, model, coalesce(input, 0) + coalesce(cached, 0) + coalesce(write_5m, 0)
  + coalesce(write_1h, 0) + coalesce(output, 0) FROM calls WHERE seen = 0 ORDER BY day, id LIMIT ?"""

"""The upstream zoo judged by its rows: who was called, who served, what was held, charged and released.

The table is tests/providers/zoo.py, whose words are asserted there cell by cell; here every cell is a job.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from shared.db import Database
from shared.queues import Lane
from shared.settings import settings
from tests.everywhere import check_nowhere
from tests.integration import world
from tests.integration.zoo_rows import CANARY, Came, Cell, Zoo
from tests.providers.zoo import TRANSPORT, ZOO, Comes, repeats
from tests.providers.zoo_cells import PROTOCOLS
from tests.servers import RedisServer
from workers.simulator.server import simulator

#: The settings by which a fault that is a silence is cut short: of the primary alone, where that can be.
SHORT: Final = {
    "": {},
    "first": {"stream_turn_seconds": 0.4, "call_first_seconds": 0.4},
    "idle": {"stream_idle_seconds": 1.0, "call_idle_seconds": 1.0},
    "whole": {"stream_seconds": 1.5, "call_seconds": 1.5},
}
#: Of a whole retried call no more than this: two brief retries after the first.
MOST_CALLS: Final = 3
#: How a stream is asked for: by a caller who reads it as it comes, or who wants it whole.
WAYS: Final = {"batch": {}, "held": {"hold_stream": True}, "streamed": {}}


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    with simulator() as url:
        yield url


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = RedisServer().start()
    yield server.url
    server.stop()


@pytest.mark.parametrize(
    ("database_url", "way"),
    [("sqlite", "batch"), ("postgresql", "held"), ("sqlite", "streamed")],
    indirect=["database_url"],
)
def test_every_cell_is_held_charged_and_released_as_the_table_says(
    database: Database, redis_url: str, simulated: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, tmp_path: Path, way: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(settings(), "retry_base_seconds", 0.01)
    zoo = Zoo(database, redis_url, simulated)
    lane: Lane = "batch" if way == "batch" else "realtime"
    mode = "whole" if way == "batch" else "streamed"
    cuts = [*cells_of(mode), *repeating(1_000)]
    cells = [cell for cell, _ in cuts]
    with zoo.sold(cells, tmp_path):
        zoo.accept(cells, lane=lane, stream=mode == "streamed", **WAYS[way])
        zoo.script([cell.rule for cell in cells])
        for short, limits in SHORT.items():
            with monkeypatch.context() as patched:
                for name, seconds in limits.items():
                    patched.setattr(settings(), name, seconds)
                zoo.run([cell for cell, cut in cuts if cut == short], lane=lane)
        found = [fault_of(cell, came, way) for cell, came in zip(cells, zoo.came(cells), strict=True)]
        assert "\n".join(filter(None, found)) == ""
        assert world.violations(database) == []
    check_nowhere(CANARY, database, redis_url, caplog.text)


def cells_of(mode: str) -> Iterator[tuple[Cell, str]]:
    """Every cell that can be in that mode, with which limit is cut short."""
    number = 0
    for fault in ZOO:
        for protocol in PROTOCOLS:
            if mode in fault.modes.split() and (order := fault.order_for(protocol)) is not None:
                number += 1
                name = f"{fault.name}, {protocol}"
                comes = fault.comes_in(protocol, mode)
                yield Cell(number, name, protocol, order, comes, breaks=fault in TRANSPORT), fault.short


def repeating(first: int) -> Iterator[tuple[Cell, str]]:
    """Cells of which nothing is expected but that the key, which the provider repeats, is nowhere afterwards."""
    orders = [(name, protocol, order) for name, order in repeats(CANARY).items() for protocol in PROTOCOLS]
    for number, (name, protocol, order) in enumerate(orders, start=first):
        yield Cell(number, f"the key {name}, {protocol}", protocol, order), ""


def fault_of(cell: Cell, came: Came, way: str) -> str:
    """What of a cell's rows is not as the table says; empty: nothing."""
    word, checks = _expected(cell.expected, came, way)
    wrong = [name for name, check in (*_ALWAYS, *checks) if not check(cell, came)]
    state = {name: came.job[name] for name in ("status", "deferred_for", "failures")}
    said = f"{state}, attempts {came.attempts}, moved {came.moved}, {came.error}"
    return f"{cell.name}, {word}: not {', '.join(wrong)}: {said}" if wrong else ""


def _expected(comes: Comes | None, came: Came, way: str) -> tuple[str, "list[tuple[str, Check]]"]:
    """The word of the table, and what has to be so."""
    if comes is None:
        return "repeated key", []
    word = comes.batch if way == "batch" else comes.realtime
    broke = way == "streamed" and came.error.get("reason") == "stream_broken"
    return word, _BROKEN if broke and word in ("retry", "turn") else _CHECKS[word]


def _paid(came: Came) -> int:
    return sum(came.moved.get("charge", []))


def _by_usage(cell: Cell, came: Came) -> bool:
    """The charge is the price of the usage in the row, cut to the bound; the rest of it is the platform's loss."""
    if not came.result:
        return False
    price = came.result["prompt_tokens"] + 2 * came.result["completion_tokens"]
    bound = came.job["bound_micros"]
    paid, lost = came.result["charged_micros"], came.result["excess_micros"]
    return price > 0 and (paid, lost) == (min(price, bound), max(price - bound, 0))


def _as_counted(cell: Cell, came: Came) -> bool:
    """By the counts that the table names."""
    if not came.result:
        return False
    lost, guessed = came.result["excess_micros"] > 0, bool(came.result["estimated"])
    return {"reported": (False, False), "estimated": (False, True), "capped": (True, False)}[cell.expected.charged] == (
        lost,
        guessed,
    )


def _turned(cell: Cell, came: Came, least: int, most: int) -> bool:
    calls = came.tried.count(cell.primary)
    return least <= calls <= most and came.tried == [cell.primary] * calls + [cell.spare]


def _least(cell: Cell) -> int:
    """Calls of the first provider: at least two, unless its pace, which it has slowed, has no turn soon enough."""
    return 1 if cell.expected.breaker in ("slower", "busy") else 2


Check = Callable[[Cell, Came], bool]
#: Whatever happens: what was held is charged or released once the job has ended, and the charge is the row's.
_ALWAYS: Final[list[tuple[str, Check]]] = [
    ("one hold", lambda cell, came: came.moved["hold"] == [came.job["bound_micros"]]),
    ("one charge at most", lambda cell, came: len(came.moved.get("charge", [])) <= 1),
    ("the row's charge", lambda cell, came: _paid(came) == came.result.get("charged_micros", 0)),
    (
        "all of the hold resolved at its end",
        lambda cell, came: (
            came.job["status"] == "queued"
            or _paid(came) + sum(came.moved.get("release", [])) == came.job["bound_micros"]
        ),
    ),
]
_GOOD: Final[list[tuple[str, Check]]] = [
    ("succeeded", lambda cell, came: came.job["status"] == "succeeded"),
    ("charged by usage", _by_usage),
]
_SPARE: Final[list[tuple[str, Check]]] = [
    *_GOOD,
    ("served by the spare", lambda cell, came: came.result.get("provider") == cell.spare),
    ("charged as reported", lambda cell, came: not came.result["estimated"] and not came.result["excess_micros"]),
]
#: A part of it had been read by its caller: that is the end, and what was sent is paid for, counted here.
_BROKEN: Final[list[tuple[str, Check]]] = [
    ("failed", lambda cell, came: came.job["status"] == "failed"),
    ("kept in part", lambda cell, came: bool(came.result["partial"])),
    ("charged by usage", _by_usage),
    ("charged by our counts", lambda cell, came: bool(came.result["estimated"])),
    ("tried once", lambda cell, came: came.tried == [cell.primary]),
]
_CHECKS: Final[dict[str, list[tuple[str, Check]]]] = {
    "served": [
        *_GOOD,
        ("served by the first", lambda cell, came: came.result.get("provider") == cell.primary),
        ("called once", lambda cell, came: came.tried == [cell.primary]),
        ("counted as in the table", _as_counted),
    ],
    "turn": [*_SPARE, ("called once, then the spare", lambda cell, came: _turned(cell, came, 1, 1))],
    "retry": [
        *_SPARE,
        ("called again, then the spare", lambda cell, came: _turned(cell, came, _least(cell), MOST_CALLS)),
    ],
    "fail": [
        ("failed", lambda cell, came: came.job["status"] == "failed"),
        ("free", lambda cell, came: not _paid(came)),
        ("called once", lambda cell, came: came.tried == [cell.primary]),
        ("the caller's fault", lambda cell, came: came.error.get("code") == 400),
    ],
    "defer": [
        ("put off", lambda cell, came: came.job["status"] == "queued" and came.job["deferred_for"] is not None),
        ("free as yet", lambda cell, came: came.moved.keys() == {"hold"}),
        ("called once", lambda cell, came: came.tried == [cell.primary]),
    ],
}

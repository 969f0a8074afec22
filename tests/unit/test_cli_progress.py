"""How a batch's progress is told: counts, rate, time left, a line a provider; at any width, and in a pipe."""

import io
from typing import Any

import httpx
import pytest
from rich.console import Console

from producer.cli import activity, progress
from producer.cli.follow import FollowedBatch, Targets, follow
from producer.cli.output import Output
from producer.cli.progress import BatchTally, Board
from shared import clock
from tests.conditions import await_condition
from tests.unit.test_cli_client import BUSY, Script


def look(status: str, completed: int = 0, failed: int = 0, total: int = 0) -> dict[str, Any]:
    return {
        "object": "batch.progress",
        "batch_id": "batch_1",
        "status": status,
        "request_counts": {"total": total, "completed": completed, "failed": failed},
        "providers": [],
        "reasons": [],
        "credits_used": 1.5,
        "created_at": 5,
        "finished_at": 9 if status == "completed" else None,
    }


BATCH = {
    "id": "batch_1",
    "status": "completed",
    "request_counts": {"total": 4, "completed": 3, "failed": 1},
    "credits_used": 1.5,
    "created_at": 5,
    **{f"{name}_at": None for name in ("failed", "expired", "cancelled")},
    "completed_at": 9,
}


def followed(*answers: httpx.Response | Exception) -> tuple[FollowedBatch, list[BatchTally]]:
    seen: list[BatchTally] = []
    with Script(*answers).client() as client:
        return follow(client, "batch_1", seen.append, lines=4), seen


def test_a_batch_is_told_with_what_it_waits_for_and_when_the_api_is_away() -> None:
    answers = [
        look("validating"),
        look("in_progress", 1, 1, 4),
        look("finalizing", 3, 1, 4),
        look("completed", 3, 1, 4),
        BATCH,
    ]
    first, *rest = [httpx.Response(200, json=answer) for answer in answers]
    ended, seen = followed(first, httpx.ConnectError("no"), httpx.Response(503, json=BUSY), *rest)
    assert [(tally.done, tally.total, tally.phase) for tally in seen] == [
        (0, 4, "validating"),
        (0, 4, "the API cannot be reached; trying again"),
        (0, 4, "the API is busy; trying again"),
        (2, 4, ""),
        (4, 4, "finalizing"),
        (4, 4, ""),
    ]
    assert seen[-1].failed == 1 and not ended.was_over


def test_a_server_that_does_not_tell_progress_is_asked_for_the_batch() -> None:
    unknown = httpx.Response(404, json={"error": {"message": "no", "type": "not_found", "code": 404}})
    answers = [{**BATCH, "status": "in_progress", "completed_at": None}, BATCH, BATCH]
    ended, seen = followed(unknown, *(httpx.Response(200, json=answer) for answer in answers))
    assert [tally.done for tally in seen] == [4, 4]
    assert ended.progress["reasons"] == [] and ended.progress["finished_at"] == 9


OPENAI = {"provider": "openai", "total": 660, "completed": 403, "failed": 9, "running": 37, "waiting": 211,
          "waiting_for": "429", "until": 1_012}  # fmt: skip
ANTHROPIC = {"provider": "anthropic", "total": 659, "completed": 659, "failed": 0, "running": 0, "waiting": 0,
             "waiting_for": None, "until": None}  # fmt: skip


class Watch:
    """A board whose time a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(clock, "now_seconds", lambda: int(1_000 + self.now))
        self.board = Board()

    def told(self, done: int, after: float = 1.0, **more: Any) -> None:
        self.now += after
        openai = {**OPENAI, "completed": done - 659 - 9} if done >= 668 else OPENAI
        given: dict[str, Any] = {"failed": 9, "credits": 149.118, "providers": (openai, ANTHROPIC), "created_at": 990}
        self.board.update(BatchTally(1319, done, **(given | more)))

    def lines(self, width: int) -> list[str]:
        return [
            (f"[{int(share * bar) * '=':<{bar}}]  " if bar else "") + text
            for text, share, bar in self.board.lines(width)
        ]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_all_columns_have_room_at_120_and_fewer_when_it_is_narrow(watch: Watch) -> None:
    for done in range(700, 1072, 37):
        watch.told(done)
    assert watch.lines(120) == [
        f"[{'=' * 26}{' ' * 7}]  1,070/1,319   81%     37/s  00:21 elapsed  00:07 left    149.12 credits      9 failed",
        "openai     411/660     37/s  9 failed  waiting: 429 (1 s)",
        "anthropic  659/659",
    ]
    assert watch.lines(80)[0] == "[====  ]  1,070/1,319   81%     37/s  00:21  00:07 left    149.12 cr      9 failed"
    assert watch.lines(44) == [
        "[========  ]  1,070/1,319     37/s  00:07 left",
        "9 failed",
        "openai     411/660     37/s  waiting: 429",
        "anthropic  659/659",
    ]


@pytest.mark.parametrize("width", [20, 30, 44, 60, 80, 100, 120, 200])
def test_lines_keep_their_columns_and_fit(watch: Watch, width: int) -> None:
    watch.told(0, providers=(), failed=0, credits=0)
    first = watch.lines(width)
    bars = {watch.board.lines(width)[0][2]}
    for done in (1, 9, 99, 700, 999, 1000, 1319):
        watch.told(done, after=7.0)
        bars.add(watch.board.lines(width)[0][2])
        for text, _, bar in watch.board.lines(width):
            assert len(text) + (bar + 2 if bar else 0) <= max(width, 20), text
            assert "…" not in text
    assert len(bars) == 1 and len(first) == 1


def test_a_batch_that_stands_still_shows_it_without_being_told(watch: Watch) -> None:
    for done in range(700, 1072, 37):
        watch.told(done)
    watch.now += 30
    assert "0/s  00:51 elapsed  --:-- left" in watch.lines(120)[0]


def test_what_is_in_the_way_has_a_line_of_its_own(watch: Watch) -> None:
    watch.told(700)
    watch.told(700, phase="the API cannot be reached; trying again", stale=True)
    for width in (44, 80, 120):
        assert watch.lines(width)[1].startswith("the API cannot be reached; trying again")


def test_an_upload_is_told_in_bytes(watch: Watch) -> None:
    for second in range(4):
        watch.now = float(second)
        watch.board.update(BatchTally(12_400_000, 1_000_000 * second, phase="uploading", upload=True))
    assert watch.lines(80) == [
        "[====                ]   3.0/12.4 MB   24%     1.0 MB/s  00:03 elapsed  00:09 left",
        "uploading",
    ]
    assert watch.board.plain() == "3.0/12.4 MB sent, 00:03 elapsed"
    watch.told(0, failed=0, credits=0, providers=())
    assert watch.board.plain().startswith("0/1,319 done, -/s"), "bytes are no lines"


def test_a_plain_line_says_how_it_stands(watch: Watch) -> None:
    for done in range(700, 1072, 37):
        watch.told(done)
    assert watch.board.plain() == (
        "1,070/1,319 done, 37/s, 00:21 elapsed, 00:07 left, 149.12 credits, 9 failed, openai waiting: 429 (1 s)"
    )


def test_in_a_pipe_a_line_comes_by_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(activity, "PLAIN_SECONDS", 0.01)
    with progress.plain() as show:
        show(BatchTally(10, 3))
        await_condition(lambda: "3/10 done" in capsys.readouterr().err)


@pytest.mark.parametrize(
    ("output", "errors"),
    [
        ("x.out.jsonl", "x.errors.jsonl"),
        ("x.jsonl", "x.errors.jsonl"),
        ("x", "x.errors.jsonl"),
        ("batch_1.out.jsonl", "batch_1.errors.jsonl"),
    ],
)
def test_errors_are_written_beside_the_output(output: str, errors: str, tmp_path: Any) -> None:
    assert Targets.of(tmp_path / output).errors == tmp_path / errors


@pytest.mark.parametrize(
    ("encoding", "share", "drawn"),
    [("utf-8", 0.0, "      "), ("utf-8", 0.25, "━╸    "), ("utf-8", 1.0, "━━━━━━"), ("ascii", 0.5, "---   ")],
)
def test_the_bar_keeps_its_width_in_every_terminal(encoding: str, share: float, drawn: str) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, force_terminal=True, color_system=None, width=40)
    with console.capture() as printed:
        console.print(progress._drawn("3/12", share, 6))
    assert printed.get().rstrip() == f"{drawn}  3/12"


@pytest.mark.parametrize("live", [True, False])
def test_a_long_command_shows_that_it_is_at_work(
    live: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(activity, "PLAIN_SECONDS", 0.01)
    monkeypatch.setattr(activity, "is_live", lambda: live)
    if live:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    seen = ""

    def is_shown() -> bool:
        nonlocal seen
        seen += (printed := capsys.readouterr()).err
        assert printed.out == ""
        return "Checking [red]" in seen and "3/30 checks" in seen

    with activity.working(Output(False), "Checking [red]", "checks") as update:
        update(3, 30)
        await_condition(is_shown)


def test_nothing_is_shown_with_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(activity, "PLAIN_SECONDS", 0.001)
    with activity.working(Output(True), "Checking", "checks") as update:
        update(3, 30)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        ({"waiting_for": "credits"}, "waiting for credits"),
        ({"waiting_for": "budget", "waiting_until": None}, "waiting for the budget of the API key"),
        (
            {"waiting_for": "budget", "waiting_until": 1_796_083_200},
            "waiting for the budget of the API key, which renews 2026-12-01 00:00:00",
        ),
    ],
)
def test_what_a_paused_batch_waits_for_is_said_in_words(waiting: dict[str, Any], said: str) -> None:
    found: Any = {**look("in_progress", 1, 1, 4), **waiting}
    assert BatchTally.of(found).phase == said

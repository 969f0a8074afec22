"""Tables of the command: numbers stand to the right; what has no room goes by its rank, and only ids are cut."""

import pytest
from rich.cells import cell_len

from producer.cli import events
from producer.cli.output import Output
from producer.cli.tables import Column, lay_out, line

COLUMNS = [Column("id", id=True), Column("status"), Column("lines", right=True), Column("created", drop=1),
           Column("type", drop=2)]  # fmt: skip
ID = "batch_01a1fd88f4690000824b151ca8a5c31b"
ROWS = [[ID, "completed", "1,319", "2026-11-25 13:03:36", "embedding"], [ID, "failed", "7", "", "image"]]


def shown(room: int | None) -> list[str]:
    return [line(row) for row in lay_out(COLUMNS, ROWS, room)]


def test_in_a_pipe_all_of_it_is_there() -> None:
    assert shown(None) == [
        "id                                      status     lines  created              type",
        f"{ID}  completed  1,319  2026-11-25 13:03:36  embedding",
        f"{ID}  failed         7                       image",
    ]


@pytest.mark.parametrize(
    ("room", "header"),
    [
        (200, ["id", "status", "lines", "created", "type"]),
        (80, ["id", "status", "lines", "created"]),
        (60, ["id", "status", "lines"]),
        (44, ["id", "status", "lines"]),
    ],
)
def test_columns_go_by_their_rank_until_the_rest_fits(room: int, header: list[str]) -> None:
    lines = shown(room)
    assert lines[0].split() == header
    assert max(map(len, lines)) <= room
    assert (ID in lines[1]) == (room > 44)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (0, f"     4  2033-05-18 03:33:20  batch.completed   {ID}, 9 of 9 succeeded"),
        (80, "     4  2033-05-18 03:33:20  batch.completed   …a8a5c31b, 9 of 9 succeeded"),
        (70, "     4  03:33:20  batch.completed   …a8a5c31b, 9 of 9 succeeded"),
    ],
)
def test_an_event_is_a_line_of_words(width: int, shown: str) -> None:
    output = Output(False)
    output.is_terminal, output.width = width > 0, width
    counts = {"total": 9, "completed": 9, "failed": 0}
    data = {"batch": {"id": ID, "status": "completed", "request_counts": counts}, "url": "/v1/x"}
    event = {"sequence": 4, "created_at": 2_000_000_000, "type": "batch.completed", "id": "evt_1", "data": data}
    assert events._lines([event], output) == [shown]


@pytest.mark.parametrize("width", [90, 75, 40])
def test_all_events_of_a_page_are_lines_of_one_form(width: int) -> None:
    output = Output(False)
    output.is_terminal, output.width = True, width
    jobs = ({"id": ID, "status": "succeeded", "model": model} for model in ("gpt-4", "claude-3-sonnet", "m" * 9))
    page = [{"sequence": 4, "created_at": 2_000_000_000, "type": "job.completed", "data": {"job": job}} for job in jobs]
    whens = {line.split("  job.completed")[0].split("4  ")[1] for line in events._lines(page, output)}
    assert len(whens) == 1 and ("2033" in whens.pop()) == (width == 90)
    assert len({line.index("job.completed") for line in events._lines(page, output)}) == 1


def test_an_event_without_a_thing_tells_its_values() -> None:
    data = {"kind": "remaining", "threshold": 100, "credits_remaining": 99.5, "period": "2026-11"}
    words = "kind remaining, threshold 100, credits remaining 99.5, period 2026-11"
    assert events._words(data) == words


def test_an_id_without_room_shows_its_end() -> None:
    assert shown(44)[1] == "…a8a5c31b  completed  1,319"
    assert shown(10)[1] == "…a8a5c31b  completed  1,319", "nothing else is cut"


def test_columns_are_aligned_in_the_terminals_own_cells() -> None:
    rows = lay_out([Column("name"), Column("n", right=True)], [["日本語", "1"], ["ab", "22"], ["e\u0301", "333"]], None)
    assert {cell_len(line(row)) for row in rows} == {6 + 2 + 3}

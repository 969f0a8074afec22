"""Tables of the command: numbers stand to the right; what has no room goes by its rank, and only ids are cut."""

import pytest

from producer.commands.tables import Column, lay_out, line

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


def test_an_id_without_room_shows_its_end() -> None:
    assert shown(44)[1] == "…a8a5c31b  completed  1,319"
    assert shown(10)[1] == "…a8a5c31b  completed  1,319", "nothing else is cut"

"""Tables and pages at any width and in a pipe: only ids and free text are ever cut, and data is never markup."""

import io
import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import pytest
from rich.cells import cell_len

from producer.cli import events, explanations
from producer.cli.models import letters
from producer.cli.output import Output, Verbatim
from producer.cli.pages import abridged
from producer.cli.tables import Column, short_id, time_of_day

COLUMNS = [Column("id", short=short_id), Column("status", styled=True), Column("lines", right=True),
           Column("created", drop=1), Column("type", drop=2)]  # fmt: skip
ID = "batch_01a1fd88f4690000824b151ca8a5c31b"
ROWS = [[ID, "completed", "1,319", "2026-11-25 13:03:36", "embedding"], [ID, "failed", "7", "", "image"]]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Screen:
    """An output of a given width, and what has been printed on it; width 0 is a pipe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int, **environment: str) -> None:
        self.stdout, self.stderr = (Terminal(), Terminal()) if width else (io.StringIO(), io.StringIO())
        monkeypatch.setattr(sys, "stdout", self.stdout)
        monkeypatch.setattr(sys, "stderr", self.stderr)
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm", **environment}.items():
            monkeypatch.setenv(name, value)
        self.output = Output(False)
        self.output.width = width or 80

    def table(self, columns: Sequence[Column] = COLUMNS, rows: Sequence[Sequence[object]] = ROWS) -> list[str]:
        self.output.table(columns, rows, empty="Nothing.")
        return self.lines()

    def lines(self) -> list[str]:
        return self.stdout.getvalue().splitlines()


def screen(width: int, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Screen:
    return Screen(monkeypatch, width, **({"NO_COLOR": "1", "TERM": "dumb"} | environment))


def test_in_a_pipe_all_of_it_is_there_and_every_row_has_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen(0, monkeypatch).table() == [
        "id                                      status     lines  created              type",
        f"{ID}  completed  1,319  2026-11-25 13:03:36  embedding",
        f"{ID}  failed         7  -                    image",
    ]


def test_a_pipe_is_never_cut_or_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "word " * 100
    (_, row) = Screen(monkeypatch, 0, COLUMNS="40").table([Column("id"), Column("about", text=True)], [[ID, text]])
    assert row == f"{ID}  {text.strip()}" and "\x1b" not in row


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (200, ["id", "status", "lines", "created", "type"]),
        (80, ["id", "status", "lines", "created"]),
        (60, ["id", "status", "lines"]),
        (44, ["id", "status", "lines"]),
        (40, ["id", "status", "lines"]),
    ],
)
def test_columns_go_by_their_rank_until_the_rest_fits(
    monkeypatch: pytest.MonkeyPatch, width: int, header: list[str]
) -> None:
    lines = screen(width, monkeypatch).table()
    assert lines[0].split() == header
    assert max(map(len, lines)) <= width
    assert (ID in lines[1]) == (width > 44)


def test_what_models_can_do_is_cut_to_letters_and_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("model"), Column("context", drop=1), Column("can", short=letters, cut=2)]
    rows = [["gpt-4", "1,050,000", "vision tools json_schema reasoning"], ["e", "8,192", "embedding"],
            ["own", "", "unknown"]]  # fmt: skip
    wide = screen(60, monkeypatch)
    wide.output.table(columns, rows)
    assert wide.output.cut == set()
    narrow = screen(30, monkeypatch)
    narrow.output.table(columns, rows)
    assert narrow.output.cut == {"can"} and [line.split()[-1] for line in narrow.lines()[1:]] == ["vtjr", "emb", "?"]


def test_an_id_without_room_shows_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (44, 10):
        row = screen(width, monkeypatch).table()[1]
        assert row == "…a8a5c31b  completed  1,319", "nothing else is cut"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_free_text_ends_in_an_ellipsis_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    columns = [Column("status"), Column("about", text=True)]
    row = screen(width, monkeypatch).table(columns, [["failed", "too many tokens were asked for, " * 3]])[1]
    assert len(row) <= width and row.endswith("…") == (width < 100)


def test_columns_are_aligned_in_the_terminals_own_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["日本語", "1"], ["ab", "22"], ["e\u0301", "333"]]
    lines = screen(0, monkeypatch).table([Column("name"), Column("n", right=True)], rows)
    assert {cell_len(line) for line in lines} == {6 + 2 + 3}


MARKUP = "[red]a[/] [/] :smile: [link=http://x]b"


@pytest.mark.parametrize("width", [0, 80])
def test_markup_in_data_is_printed_as_it_stands(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    page = screen(width, monkeypatch)
    page.output.table([MARKUP, Column("text", text=True)], [[MARKUP, MARKUP]])
    page.output.fields({"name": MARKUP, MARKUP: "value"})
    page.output.details([Column("a"), Column("b", text=True)], [[MARKUP, MARKUP]])
    page.output.document({"text": MARKUP})
    page.output.line(MARKUP)
    assert sum(line.count(MARKUP) for line in page.lines()) == 9


@pytest.mark.parametrize(
    ("width", "environment", "coloured"),
    [
        (80, {}, True),
        (80, {"NO_COLOR": "1"}, False),
        (80, {"TERM": "dumb"}, False),
        (0, {}, False),
        (0, {"FORCE_COLOR": "1"}, True),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, width: int, environment: dict[str, str], coloured: bool
) -> None:
    page = Screen(monkeypatch, width, **environment)
    page.output.table([Column("status", styled=True)], [["failed"], ["succeeded"]])
    printed = page.stdout.getvalue()
    assert ("\x1b[31mfailed" in printed) == coloured and "31msucceeded" not in printed


def test_what_is_beside_the_answer_goes_to_standard_error_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    page = screen(0, monkeypatch)
    page.output.table(COLUMNS, [], empty="No batches.")
    page.output.note("More: fusionai batches")
    assert page.lines() == [] and page.stderr.getvalue() == "No batches.\nMore: fusionai batches\n"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_long_values_are_folded_but_what_is_copied_is_not(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    page = screen(width, monkeypatch)
    command = Verbatim(f"fusionai retry {ID} --wait -o a-file-with-a-long-name.out.jsonl")
    page.output.fields({"id": ID, "error": "a b c d e f g h " * 9, "to retry": command})
    first, *folded, last = page.lines()
    assert first == f"id        {ID}" and last == f"to retry  {command}"
    assert all(len(line) <= width for line in folded)
    assert " ".join(" ".join(folded).removeprefix("error").split()) == ("a b c d e f g h " * 9).strip()
    assert all(line.startswith(" " * 10) for line in folded[1:])


def event(kind: str, about: dict[str, Any]) -> dict[str, Any]:
    return {"sequence": 4, "created_at": 2_000_000_000, "type": f"{kind}.completed", "id": "evt_1", "data": about}


def shown_events(monkeypatch: pytest.MonkeyPatch, width: int, *events_shown: dict[str, Any]) -> list[str]:
    lines = screen(width, monkeypatch).table(events._COLUMNS, [events._row(one) for one in events_shown])[1:]
    return list(takewhile(lambda line: not line.startswith("No room for: "), lines))


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (0, f"     4  2033-05-18 03:33:20  batch.completed   {ID}  9 of 9 succeeded"),
        (80, "     4  2033-05-18 03:33:20  batch.completed   …a8a5c31b  9 of 9 succeeded"),
        (70, "     4  03:33:20  batch.completed   …a8a5c31b  9 of 9 succeeded"),
        (50, "03:33:20  batch.completed   …a8a5c31b  9 of 9 suc…"),
    ],
)
def test_an_event_is_a_row(monkeypatch: pytest.MonkeyPatch, width: int, shown: str) -> None:
    counts = {"total": 9, "completed": 9, "failed": 0}
    data = {"batch": {"id": ID, "status": "completed", "request_counts": counts}, "url": "/v1/x"}
    assert shown_events(monkeypatch, width, event("batch", data)) == [shown]


@pytest.mark.parametrize("width", [95, 75, 40])
def test_all_events_of_a_page_are_in_one_form(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    jobs = ({"id": ID, "status": "succeeded", "model": model} for model in ("gpt-4", "claude-3-sonnet", "m" * 9))
    lines = shown_events(monkeypatch, width, *(event("job", {"job": job}) for job in jobs))
    assert all(("2033" in line) == (width == 95) for line in lines)
    assert len({line.index("job.completed") for line in lines}) == 1
    assert all(len(line) <= width for line in lines)


def test_an_event_without_a_thing_shows_its_values() -> None:
    data = {"kind": "remaining", "threshold": 100, "credits_remaining": 99.5, "period": "2026-11"}
    words = "kind remaining, threshold 100, credits remaining 99.5, period 2026-11"
    assert events._subject(data) == ("", words)
    assert events._subject({"id": f"resp_{ID}"}) == (f"resp_{ID}", ""), "OpenAI's events of a response"


def test_short_forms() -> None:
    assert short_id(ID) == "…a8a5c31b" and short_id("gpt-4-turbo-preview") == "gpt-4-turbo-preview"
    assert time_of_day("2033-05-18 03:33:20") == "03:33:20" and time_of_day("") == ""


def test_a_page_shows_the_beginning_of_what_is_very_long(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"embedding": [0.5] * 1536, "texts": ["a", "b" * 3000], "few": [1, 2]}
    assert abridged(value)["embedding"] == [0.5, 0.5, 0.5, 0.5, "… 1,536 numbers"]
    assert abridged(value)["texts"][1].endswith("b… (3,000 characters)") and abridged(value)["few"] == [1, 2]
    page = screen(80, monkeypatch)
    page.output.document(value)
    assert page.lines()[-1] == "Long values are cut short; --json has all of it."
    pipe = screen(0, monkeypatch)
    pipe.output.document(value)
    assert len(pipe.lines()) > 1536


def test_a_job_s_hold_has_its_lines_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    priced = {"count": 812, "price": 15_000_000, "per": 1_000_000, "rate": "cache write", "credits": "0.01218"}
    hold: Any = {
        "credits": 0.01218,
        "state": "held",
        "of_batch": False,
        "reason": "the most that the job may cost at openai gpt-4",
        "price_version": "1",
        "lines": [
            {"item": "input", "description": "text of the request", **priced},
            {"item": "rounding", "call": 2, "description": "rounding up", "credits": "0"},
        ],
    }
    page = screen(70, monkeypatch)
    explanations.show_hold(page.output, hold)
    explanations.show_hold(page.output, None)
    assert page.lines() == [
        "",
        "held for at most     count  price           credits",
        "text of the request    812  15 per million  0.01218",
        "call 2: rounding up                               0",
        "(0.01218 credits held until the job ends, the most that the job may",
        "cost at openai gpt-4, at the dearest price that may apply: cache",
        "write, prices of 1)",
    ]


def test_a_job_s_charge_and_candidates_have_headers_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        {
            "item": "input",
            "description": "input",
            "count": 8,
            "price": 15_000_000,
            "per": 1_000_000,
            "credits": "0.00012",
        }
    ]
    charge: Any = {"lines": lines, "credits": 0.00012, "service_tier": None, "price_version": "1",
                   "long_context": False, "reason": None}  # fmt: skip
    candidates = [
        {"provider": "mistral", "model": name, "expected_credits": "0.1"} for name in ("small", "gemini-2.5-flash-lite")
    ]
    other = {**candidates[1], "credits": 0.00052}
    routing: Any = {"reason": "best by weights of 44 candidates", "candidates": candidates, "next_best": other}
    page = screen(60, monkeypatch)
    explanations.show_charge(page.output, charge)
    explanations.show_routing(page.output, routing)
    assert page.lines() == [
        "",
        "charged for  count  price           credits",
        "input            8  15 per million  0.00012",
        "(prices of 1)",
        "",
        "candidate  model                  expected credits",
        "mistral    small                               0.1",
        "mistral    gemini-2.5-flash-lite               0.1",
        "(best by weights of 44 candidates; gemini-2.5-flash-lite",
        "would have cost 0.00052 credits)",
    ]

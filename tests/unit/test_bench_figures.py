"""What the synchronous benchmarks make of what they measured: CPU a request, the frontier of points, its picture."""

import os
from xml.etree import ElementTree

import pytest

from tests.bench import cpu
from tests.bench.chart import STYLES, picture, step
from tests.bench.contenders import Median
from tests.bench.cpu import Stat
from tests.bench.frontier import CLIENTS, points
from tests.bench.load import Load
from tests.bench.points import Point, best, frontier, measured, table
from tests.bench.profile import PYTHON, package, shares
from tests.bench.profile import table as shares_table

SVG = "{http://www.w3.org/2000/svg}"
#: Rates rise up to eight clients, then only waiting does; the last had errors.
POINTS = [
    Point(1, 70, 0.020),
    Point(2, 130, 0.025),
    Point(8, 360, 0.090),
    Point(16, 340, 0.100),
    Point(32, 330, 0.250),
    Point(64, 900, 0.010, clean=False),
]


def test_a_line_of_proc_is_read_behind_the_last_parenthesis() -> None:
    line = "42 (a ) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 30 12 5 6 20 0 4 0 100 0 0"
    assert Stat.of(line) == Stat(parent=7, own=42, of_ended=11)


def test_a_family_is_all_that_descends_each_counted_once() -> None:
    stats = {1: Stat(0, 1000, 1000), 10: Stat(1, 5, 7), 11: Stat(10, 20, 0), 12: Stat(11, 300, 1), 20: Stat(1, 50, 0)}
    assert cpu.family_ticks(stats, 10) == 5 + 7 + 20 + 300 + 1
    assert cpu.family_ticks(stats, 99) == 0


def test_what_a_request_used_is_the_growth_over_their_number() -> None:
    assert cpu.micros_each({"web": 1.0, "worker": 2.0}, {"web": 1.5, "worker": 2.0}, 1000) == {"web": 500, "worker": 0}
    assert cpu.micros_each({"web": 1.0}, {"web": 1.5}, 0) == {}


def test_this_process_has_used_some_and_the_machine_more() -> None:
    own = cpu.seconds(os.getpid())
    assert 0 < own <= cpu.families({"this": os.getpid()})["this"] and own < cpu.machine_seconds()


def test_the_medians_of_loads_are_of_each_process_too() -> None:
    loads = [Load(9, rate, 0.1, 0.2, 0, 0, {"web": rate * 2, "worker": 1.0}) for rate in (10.0, 30.0, 20.0)]
    found = Median.of(loads)
    assert (found.per_second, found.cpu_micros, found.clean) == (20.0, {"web": 40.0, "worker": 1.0}, True)
    assert found.cpu == "CPU a request: web 40 µs, worker 1 µs, all 41 µs"


@pytest.mark.parametrize(("bound", "clients"), [(0.019, None), (0.025, 2), (0.05, 2), (0.1, 8), (0.25, 8)])
def test_the_best_within_a_bound_is_a_point_that_was_measured(bound: float, clients: int | None) -> None:
    found = best(POINTS, bound)
    assert (found and found.clients) == clients


def test_what_had_errors_is_no_point() -> None:
    assert best(POINTS[-1:], 1.0) is None and frontier(POINTS[-1:]) == []


def test_where_nothing_was_answered_there_is_no_point() -> None:
    found = points([Median(0.0, 0.0, 0.0, 0, 0)] * len(CLIENTS))
    assert [point.clients for point in found] == list(CLIENTS) and frontier(found) == []


def test_the_frontier_rises_and_leaves_out_what_another_beats() -> None:
    assert [point.clients for point in frontier(POINTS[::-1])] == [1, 2, 8]
    assert frontier([Point(1, 5, 0.1), Point(2, 9, 0.1)]) == [Point(2, 9, 0.1)]


def test_the_tables_are_markdown_of_80_columns() -> None:
    curves = {
        "FusionAI": POINTS,
        "LiteLLM": POINTS[:1] * len(POINTS),
        "Portkey": POINTS,
        "Bifrost": [Point(1, 11_872, 1.944)] * 6,
    }
    lines = list(table(curves))
    assert lines[2].split() == "| FusionAI | 130/s (2) | 130/s (2) | 360/s (8) | 360/s (8) |".split()
    assert lines[3].split()[1:4] == ["LiteLLM", "|", "70/s"]
    assert {len(line) for line in (*lines, *measured(curves))} == {79}
    last = [cell.strip() for cell in list(measured(curves))[-1].split("|")]
    assert last[1:-1] == ["64", "errors", "70 20 ms", "errors", "11,872 1.9 s"]


def test_the_picture_has_a_line_and_each_mark_of_each_contender() -> None:
    root = ElementTree.fromstring(picture({"FusionAI": POINTS, "Bifrost <Go>": POINTS[:2], "none": POINTS[-1:]}))
    groups = root.findall(f"{SVG}g")
    counted = [
        [len(group.findall(f"{SVG}path[@class='{kind}']")) for kind in ("line", "mark", "mark beaten")]
        for group in groups
    ]
    assert counted == [[1, 3, 2], [1, 2, 0], [0, 0, 0]]
    assert [group[-2].text for group in groups] == ["FusionAI", "Bifrost <Go>", "none"]
    assert [group[-1].text for group in groups] == ["360/s at most", "130/s at most", "0/s at most"]


def test_the_picture_says_what_its_axes_are_and_knows_dark_pages() -> None:
    curves = {f"contender {number}": POINTS for number in range(len(STYLES))}
    root = ElementTree.fromstring(picture(curves))
    said = {text.text for text in root.iter(f"{SVG}text")}
    assert {"requests/s", "p99 latency, ms (logarithmic)", "25", "50", "100", "250", "0", "400"} <= said
    style = root.findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme:dark" in style and style.count("{") == style.count("}")


def test_a_mark_stands_where_its_point_is() -> None:
    """To the right with p99, upwards with the rate; none beyond the edges of the picture."""
    root = ElementTree.fromstring(picture({"FusionAI": [*POINTS, Point(256, 300, 3.0)]}))
    places = [path.get("transform", "")[10:-1].split() for path in root.iter(f"{SVG}path") if path.get("transform")]
    xs, ys = ([float(place[at]) for place in places] for at in (0, 1))
    assert len(places) == len(POINTS) - 1 and xs == sorted(xs) and ys[2] == min(ys) and ys[0] == max(ys)


@pytest.mark.parametrize(("most", "each"), [(1.0, 0.2), (99, 20), (560, 100), (1172, 200), (20_000, 5000)])
def test_rates_are_labelled_in_round_steps(most: float, each: float) -> None:
    assert step(most) == pytest.approx(each)


@pytest.mark.parametrize(
    ("stack", "whose"),
    [
        (
            "loop;run (threading.py:982);write (shared/db/core.py:7);do_execute (sqlalchemy/engine/default.py:9)",
            "sqlalchemy",
        ),
        ("loop;close (shared/money/ledger.py:20);dumps (json/__init__.py:231)", "shared/money"),
        ("loop;parse (shared/strict_json.py:4)", "shared/strict_json"),
        ("loop;run (threading.py:982);<lambda> (<string>:1)", PYTHON),
    ],
)
def test_a_look_counts_for_whose_code_runs(stack: str, whose: str) -> None:
    assert package(stack) == whose


def test_looks_become_shares_of_each_process() -> None:
    web = shares("loop;a (redis/client.py:1) 3\nloop;b (kombu/x.py:2) 1\n")
    assert web == {"redis": 0.75, "kombu": 0.25}
    lines = list(
        shares_table({"web, 16": web, "worker, 16": {"redis": 0.99, "attr": 0.01}, "web, 1": {}, "worker, 1": {}})
    )
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["redis", "kombu", "others"]
    assert lines[-1].split("|")[3].strip() == "1%" and {len(line) for line in lines} == {80}

"""The arithmetic of progress: a rate that comes down when nothing moves, time left by it, what fits in a line."""

import pytest

from producer.cli.rates import Cell, Rate, fit, rate_text, seconds_left, shown_rate, time_text


def looked(*looks: tuple[float, int]) -> Rate:
    rate = Rate()
    for at, done in looks:
        rate.look(at, done)
    return rate


def steady(rate: float, seconds: int, *, every: float = 1.0) -> list[tuple[float, int]]:
    return [(n * every, int(n * every * rate)) for n in range(int(seconds / every) + 1)]


@pytest.mark.parametrize(
    ("looks", "now", "rate"),
    [
        ([], 5.0, None),
        ([(0.0, 0)], 0.5, None),
        ([(0.0, 0), (0.5, 100)], 0.5, None),
        ([(0.0, 900), (10.0, 1000)], 10.0, 10.0),
        (steady(37, 60), 60.0, 37.0),
        (steady(37, 60, every=2.0), 61.9, 37.0),
        ([(0.0, 0), *((60.0 + n, 50 * n) for n in range(21))], 80.0, 50.0),
        ([*steady(40, 20), *((20.0 + n, 800) for n in range(1, 6))], 25.0, 20.0),
        ([*steady(40, 20), *((20.0 + n, 800) for n in range(1, 11))], 30.0, 0.0),
        (steady(40, 20), 25.0, 20.0),
        (steady(40, 20), 40.0, 0.0),
        ([(30.0 * n, n) for n in range(10)], 272.0, 1 / 30),
        ([(0.0, 5), (5.0, 0)], 5.0, 0.0),
    ],
)
def test_the_rate_is_that_of_the_last_while(looks: list[tuple[float, int]], now: float, rate: float | None) -> None:
    assert looked(*looks).at(now) == (None if rate is None else pytest.approx(rate, rel=0.01))


def test_between_two_looks_the_rate_does_not_jump() -> None:
    rate, told = Rate(), []
    for tenth in range(600):
        if tenth % 20 == 0:
            rate.look(tenth / 10, int(tenth / 10 * 37))
        if tenth > 150:
            told.append(rate.at(tenth / 10) or 0.0)
    assert max(told) - min(told) < 0.5


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "-/s"),
        (0.0, "0/s"),
        (0.0005, "0/s"),
        (1 / 30, "2.0/min"),
        (0.0999, "6.0/min"),
        (0.1, "0.1/s"),
        (9.94, "9.9/s"),
        (9.96, "10/s"),
        (1506.4, "1,506/s"),
        (9_999.6, "10k/s"),
        (123_456.0, "123k/s"),
    ],
)
def test_a_rate_is_told_in_seven_characters(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text and len(text) <= 7


@pytest.mark.parametrize("rate", [0.02, 0.0999, 0.1, 3.36, 9.94, 9.96, 37.4, 1506.4, 12_345.0])
def test_time_left_is_by_the_rate_that_is_shown(rate: float) -> None:
    number, unit = rate_text(rate).split("/")
    shown = float(number.replace(",", "").removesuffix("k")) * (1000 if number.endswith("k") else 1)
    assert shown_rate(rate) == pytest.approx(shown / (60 if unit == "min" else 1))
    assert seconds_left(1000, rate) == pytest.approx(1000 / shown_rate(rate))


def test_what_stands_still_has_no_time_left_and_what_is_done_has_none_to_come() -> None:
    assert seconds_left(10, 0.0) is None and seconds_left(10, None) is None and seconds_left(10, 0.0005) is None
    assert seconds_left(0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "--:--"), (0, "00:00"), (7.4, "00:07"), (82, "01:22"), (5_999, "99:59"), (6_000, "01h40"),
        (43_380, "12h03"), (359_999, "99h59"), (372_000, "4d07h"), (9e9, "--:--"),
    ],
)  # fmt: skip
def test_times_are_five_characters(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text and len(text) == 5


CELLS = [Cell(0, ("  412/1,319",)), Cell(3, (" 31%",)), Cell(2, ("   37/s",)), Cell(1, ("00:24 left",)),
         Cell(4, ("40.50 credits", "40.50 cr"))]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "bar", "shown"),
    [
        (120, 65, [True, True, True, True, "40.50 credits"]),
        (63, 8, [True, True, True, True, "40.50 credits"]),
        (57, 7, [True, True, True, True, "40.50 cr"]),
        (46, 6, [True, True, True, True, None]),
        (44, 10, [True, None, True, True, None]),
        (31, 6, [True, None, None, True, None]),
        (20, 7, [True, None, None, None, None]),
        (12, 0, [True, None, None, None, None]),
        (5, 0, [True, None, None, None, None]),
    ],
)
def test_a_line_holds_what_matters_most(width: int, bar: int, shown: list[object]) -> None:
    found, texts = fit(width, CELLS)
    whole = [cell.forms[0] for cell in CELLS]
    assert texts == [text if keep is True else keep for text, keep in zip(whole, shown, strict=True)]
    assert found == bar
    assert found + sum(len(text) + 2 for text in texts if text) == (width if found else 13)

"""Usage, without a database: which days are meant, what CSV writes of amounts and of a customer's text."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import pytest

from producer.operations import usage_csv
from producer.operations.usage import read_period
from shared import clock
from shared.errors import InvalidRequest

DAY = 86_400 * clock.MICROS


@pytest.fixture(autouse=True)
def _time() -> Iterator[None]:
    before = clock.shift_micros()
    yield
    clock.shift(before - clock.shift_micros())


def be(instant: str) -> None:
    """Make it that instant, UTC."""
    micros = int(datetime.fromisoformat(instant + "+00:00").timestamp()) * clock.MICROS
    clock.shift(micros - clock.now_micros())


@pytest.mark.parametrize(
    ("now", "first", "last", "expected"),
    [
        ("2031-03-17T23:59:59", None, None, ("2031-03-01", "2031-03-17")),
        ("2031-03-01T00:00:00", None, None, ("2031-03-01", "2031-03-01")),
        ("2031-03-17T00:00:00", None, "2031-02-10", ("2031-02-01", "2031-02-10")),
        ("2031-03-17T00:00:00", "2031-02-10", None, ("2031-02-10", "2031-03-17")),
        ("2031-03-17T00:00:00", "2032-02-29", "2032-02-29", ("2032-02-29", "2032-02-29")),
        ("2031-03-17T10:00:00", "2031-03-18", None, ("2031-03-18", "2031-03-18")),
        ("2031-03-17T10:00:00", "9999-12-31", None, ("9999-12-31", "9999-12-31")),
        ("2031-03-17T10:00:00", None, "2031-03-18", ("2031-03-01", "2031-03-18")),
        ("2031-03-17T00:00:00", "0001-01-01", "0001-01-02", ("0001-01-01", "0001-01-02")),
        ("2031-03-17T00:00:00", "9999-12-31", "9999-12-31", ("9999-12-31", "9999-12-31")),
    ],
)
def test_which_days_are_meant(now: str, first: str | None, last: str | None, expected: tuple[str, str]) -> None:
    be(now)
    period = read_period(first, last)
    assert (str(period.first), str(period.last)) == expected
    assert period.ends - period.begins == ((period.last - period.first).days + 1) * DAY


@pytest.mark.parametrize(
    ("first", "last", "param"),
    [
        ("2031-02-29", None, "from"),
        ("2031-2-1", None, "from"),
        ("20310201", None, "from"),
        ("2031-W05-1", None, "from"),
        ("2031-02-01T00:00:00", None, "from"),
        (" 2031-02-01", None, "from"),
        ("", None, "from"),
        ("٢٠٣١-٠٢-٠١", None, "from"),
        (None, "yesterday", "to"),
        (None, "2031-13-01", "to"),
        (None, "0000-01-01", "to"),
        (None, "2031-02-01\n", "to"),
        ("2031-02-02", "2031-02-01", "from"),
        ("2031-02-01T00:00:00Z", None, "from"),
        ("2031-02-01T00:00:00+14:00", "2031-02-02", "from"),
        ("1927411200", None, "from"),
        ("2031", None, "from"),
        ("2031-03-19", "2031-03-18", "from"),
        ("2021-01-01", "2031-02-01", "from"),
        ("0001-01-01", "9999-12-31", "from"),
    ],
)
def test_days_that_are_none_are_refused_by_name(first: str | None, last: str | None, param: str) -> None:
    be("2031-03-17T00:00:00")
    with pytest.raises(InvalidRequest) as refused:
        read_period(first, last)
    assert refused.value.param == param and param in refused.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""), ("line-17", "line-17"), ("a=b", "a=b"), ("a,-1", "a,-1"), ("=1+1", "'=1+1"), ("+1", "'+1"),
        ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "\t'=1"), ("  =1", "  '=1"), ("a;=1", "a;'=1"),
        ("a\n@x", "a\n'@x"), ("\r-1", "\r'-1"), ("＝1", "'＝1"), ("'=1", "'=1"), ("==1", "'==1"),
    ],
)  # fmt: skip
def test_no_spreadsheet_runs_a_customers_text(text: str, shown: str) -> None:
    assert usage_csv.guarded(text) == shown


@pytest.mark.parametrize("value", [0, 1, 999_999, 1_000_000, 113_834_715, 2**53 - 1, 2**62])
def test_amounts_are_written_exactly(value: int) -> None:
    assert Decimal(usage_csv.decimal(value)) * clock.MICROS == value

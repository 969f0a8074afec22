"""A price that changes on a known day: that of a job's acceptance counts, and midnight needs no restart."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from producer import objects
from shared import clock
from shared.submissions import catalogue as module
from shared.submissions import catalogue_reload, quote
from shared.submissions.catalogue import Catalogue, catalogue, checked, read
from shared.submissions.catalogue_files import CatalogueError, joined, parsed
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission

ROW = """
[models.m]
type = "chat.completion"
provider = "openai"
upstream = "u"
purpose = ""
input = 1_000_000
cached_input = 100_000
output = 2_000_000
max_output = 10
"""
DECEMBER = """
[[models.m.price_changes]]
from = "2026-12-01"
input = 3_000_000
cached_input = 300_000
output = 6_000_000
"""
JANUARY = DECEMBER.replace("2026-12-01", "2027-01-01").replace("3_0", "5_0")
FLEX = "\n[models.m.service_tiers.flex]\ninput = 500_000\noutput = 1_000_000\n"
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def micros(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * clock.MICROS


def offered(known: Catalogue, **more: Any) -> Offer:
    return quote.offers(read_submission("chat.completion", {**BODY, **more}), known, test=False)[0]


@pytest.fixture
def time_goes_on() -> Iterator[None]:
    before = clock.shift_micros()
    yield
    clock.shift(before - clock.shift_micros())


def now_is(day: str) -> None:
    clock.shift(micros(day) - clock.now_micros())


def test_the_price_in_force_is_that_of_the_last_day_that_has_begun() -> None:
    written = read(ROW + DECEMBER + JANUARY)
    for at, input, version in (
        (micros("2026-11-30"), 1_000_000, ""),
        (micros("2026-12-01") - 1, 1_000_000, ""),
        (micros("2026-12-01"), 3_000_000, "@2026-12-01"),
        (micros("2026-12-31"), 3_000_000, "@2026-12-01"),
        (micros("2027-01-01"), 5_000_000, "@2027-01-01"),
        (micros("2099-01-01"), 5_000_000, "@2027-01-01"),
    ):
        made = offered(written.at(at))
        assert (made.input, made.version) == (input, written.version + version)
    assert written.at(micros("2026-11-30")) is written


def test_all_that_the_price_decides_changes_with_it() -> None:
    tier = DECEMBER + "request = 7\n\n[models.m.price_changes.service_tiers.flex]\ninput = 9\noutput = 8\n"
    written = read(ROW + FLEX + tier)
    before, after = written.at(0), written.at(micros("2026-12-01"))
    assert (offered(before, service_tier="flex").input, offered(after, service_tier="flex").input) == (500_000, 9)
    assert offered(after, service_tier="flex").request == 7 and offered(before).request == 0
    assert offered(after).bound_micros > 2 * offered(before).bound_micros
    assert after.models["m"].input == after.prices["m"].input == 3_000_000
    others = {id: price for id, price in after.prices.items() if not written.models[id].price_changes}
    assert all(written.prices[id] == price for id, price in others.items()), "other prices keep their version"


def test_a_process_that_runs_over_midnight_changes_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time_goes_on: None
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(ROW + DECEMBER)
    monkeypatch.setattr(module.settings(), "catalogue", str(path))
    monkeypatch.setattr(catalogue_reload, "LOOK_SECONDS", 0.0)
    module.forget()
    try:
        now_is("2026-11-30 23:59:50")
        before = offered(catalogue())
        assert before.input == 1_000_000 and catalogue() is catalogue()
        clock.shift(20 * clock.MICROS)
        after = offered(catalogue())
        assert after.input == 3_000_000 and catalogue() is catalogue()
        assert before.price.input == 1_000_000, "what was accepted keeps its price"
        clock.shift(-20 * clock.MICROS)
        assert offered(catalogue()).input == 1_000_000, "it follows the clock, not what was seen"
        clock.shift(20 * clock.MICROS)
        path.write_text(ROW + DECEMBER.replace("3_0", "4_0") + "# another size\n")
        written = clock.wall_micros() * 1000 - 60_000_000_000  # a minute ago by the test's clock, whatever day it is
        os.utime(path, ns=(written, written))
        assert offered(catalogue()).input == 4_000_000
    finally:
        monkeypatch.undo()
        module.forget()


def faults(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as error:
        checked(joined(parsed("mine.toml", text)))
    return list(error.value.faults)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"2026-12-01"', '"2026-12-32"', '13: models.m.price_changes[0].from: must be a day, such as "2026-12-01"'),
        ('"2026-12-01"', '"20261201"', '13: models.m.price_changes[0].from: must be a day, such as "2026-12-01"'),
        ('"2026-12-01"', "20261201", '13: models.m.price_changes[0].from: must be a day, such as "2026-12-01"'),
        (
            '"2026-12-01"',
            "2026-12-01T00:00:00Z",
            '13: models.m.price_changes[0].from: must be a day, such as "2026-12-01"',
        ),
        ('from = "2026-12-01"\n', "", "12: models.m.price_changes[0].from: is missing"),
        ("input = 3_000_000\n", "", "12: models.m.price_changes[0].input: is missing: the row has this price"),
        ("cached_input = 300_000\n", "", "12: models.m.price_changes[0].cached_input: is missing: the row has"),
        ("input = 3_000_000", "input = -3", "14: models.m.price_changes[0].input: input should be greater than"),
        ("input = 3_000_000", "input = 3.5", "14: models.m.price_changes[0].input: input should be a valid integer"),
        (
            "cached_input = 3",
            "cache_input = 3",
            "15: models.m.price_changes[0].cache_input: unknown key; did you mean 'cached_input'?",
        ),
        ("input = 5_000_000\n", "", "18: models.m.price_changes[1].input: is missing: the row has this price"),
        ('"2027-01-01"', '"2026-12-01"', "19: models.m.price_changes[1].from: must be after 2026-12-01"),
        ('"2027-01-01"', '"2026-11-30"', "19: models.m.price_changes[1].from: must be after 2026-12-01"),
    ],
)
def test_a_change_that_cannot_be_used_is_named_by_file_line_and_key(old: str, new: str, said: str) -> None:
    text = ROW + DECEMBER + JANUARY
    read(text)
    assert old in text
    seen = faults(text.replace(old, new, 1))
    assert any(one.startswith(f"mine.toml:{said}") for one in seen), seen


def test_a_change_names_the_tiers_that_are_sold_and_may_be_written_inline_or_with_a_date() -> None:
    assert faults(ROW + FLEX + DECEMBER) == [
        "mine.toml:16: models.m.price_changes[0].service_tiers.flex: is missing: the row has this tier"
    ]
    inline = "price_changes = [\n    { from = 2026-12-01, input = 7, cached_input = 0, output = 9 },\n]\n"
    assert offered(read(ROW + inline).at(micros("2026-12-01"))).input == 7
    free = "price_changes = [{ from = 2026-12-01, input = 0, cached_input = 0, output = 0 }]\n"
    assert faults(ROW + free) == ["mine.toml:11: models.m.price_changes[0]: price is missing"]
    assert faults(ROW + "price_changes = 3\n")[0].startswith("mine.toml:11: models.m.price_changes: ")


def test_a_model_shows_its_prices_to_come() -> None:
    written = read(ROW + DECEMBER + JANUARY)

    def price(day: str) -> Any:
        known = written.at(micros(day))
        return objects.model_object(known.models["m"], known.prices["m"].version)["price"]

    assert price("2026-11-30")["changes"] == [
        {"from": "2026-12-01", "input": 3_000_000, "cached_input": 300_000, "output": 6_000_000},
        {"from": "2027-01-01", "input": 5_000_000, "cached_input": 300_000, "output": 6_000_000},
    ]
    assert [one["from"] for one in price("2026-12-31")["changes"]] == ["2027-01-01"]
    assert "changes" not in price("2027-01-01") and price("2027-01-01")["input"] == 5_000_000


@pytest.mark.parametrize(
    ("model", "day", "before", "after"),
    [
        ("gemini-4-argon", "2026-12-01", 200_000_000, 400_000_000),
        ("gemini-pro", "2027-01-01", 75_000_000, 150_000_000),
        ("gemini-3.8-flash", "2027-01-01", 75_000_000, 150_000_000),
        ("gemini-3.7-flash", "2027-01-01", 75_000_000, 150_000_000),
        ("gemini-3.6-flash", "2027-01-01", 75_000_000, 150_000_000),
    ],
)
def test_the_introductory_prices_of_google_end_on_their_days(model: str, day: str, before: int, after: int) -> None:
    written = checked(joined(None))
    assert written.at(micros(day) - 1).prices[model].input == before
    made = written.at(micros(day)).prices[model]
    assert made.input == after and (made.cached_input, made.output) == (
        after * 20 // 400 if "argon" in model else after // 10,
        after * 5,
    )

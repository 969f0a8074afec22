"""fusionai models sync: prices to come, prices and models that are not published any more, and what it prints."""

import doctest
import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from genai_prices.types import (
    ConditionalPrice,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from producer import cli
from producer.cli import own_models as command
from producer.cli import sync_page
from producer.pricelist import published
from producer.pricelist.published import Prices
from shared.settings import settings
from shared.submissions.catalogue import load
from tests.unit.test_cli_models import DAY, dollars, model

LONG_NAME = "a-model-of-a-long-name-1"


def from_day(day: str, **given: Any) -> ConditionalPrice:
    return ConditionalPrice(constraint=StartDateConstraint(date.fromisoformat(day)), prices=dollars(**given))


def flex(day: str | None, **given: Any) -> PriceVariant:
    constraint = StartDateConstraint(date.fromisoformat(day)) if day else None
    return PriceVariant(when={"service_tier": "flex"}, prices=dollars(**given), constraint=constraint)


def by_length(base: str, above: str) -> TieredPrices:
    return TieredPrices(base=Decimal(base), tiers=[Tier(start=200_000, price=Decimal(above))])


BASE = ConditionalPrice(prices=dollars(input="1", output="2", cache_read="0.1"))
WORLD = [
    Provider(
        id="openai",
        name="",
        api_pattern="",
        models=[
            model("twice", [BASE, from_day("2026-12-01", input="2", output="4", cache_read="0.2"),
                            from_day("2027-02-01", input="3", output="4", cache_read="0.2")]),
            model("later", [BASE, from_day("2027-01-01", input="2", output="4", cache_read="0.2")]),
            model("steady", dollars(input="1", output="2", cache_read="0.1")),
            model("searches", [BASE, ConditionalPrice(
                constraint=StartDateConstraint(date(2026, 12, 5)),
                prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2), cache_read_mtok=Decimal("0.1"),
                                  web_searches_kcount=Decimal(14)))]),
            model("uncached", dollars(input="1", output="2")),
            model("uncached-then", [BASE, from_day("2027-01-01", input="1", output="3")]),
            model("wild", [BASE, from_day("2027-01-01", input="20", output="2", cache_read="0.1")]),
            model("tiered", [BASE, from_day("2027-01-01", input="2", output="4", cache_read="0.2")],
                  price_variants=[flex(None, input="0.5", output="1"), flex("2027-01-01", input="1", output="2")]),
            model("untiered", dollars(input="1", output="2", cache_read="0.1")),
            model("short", dollars(input="1", output="2", cache_read="0.1")),
            model(LONG_NAME, [
                BASE, from_day("2027-01-01", input=by_length("2", "4"), output=by_length("4", "8"), cache_read="0.2")]),
        ],
    )
]  # fmt: skip
CACHED = "cached_input = 10_000_000\n"
TIER = "service_tiers = { flex = { input = 50_000_000, output = 100_000_000, cached_input = 5_000_000 } }\n"
LONG = "long_context = { above = 200_000, input = 200_000_000, output = 300_000_000 }\n"
MORE = {"tiered": TIER.replace(", cached_input = 5_000_000", ""), "untiered": TIER, "short": LONG}


def row(name: str, more: str = "") -> str:
    return (
        f'[models.{name}]\ntype = "chat.completion"\nprovider = "openai"\nupstream = "{name}"\npurpose = ""\n'
        f"input = 100_000_000\n{CACHED}output = 200_000_000\nmax_output = 10\n{more}\n"
    )


def change(name: str, day: str, input: int, output: int, cached: int) -> str:
    return (
        f'[[models.{name}.price_changes]]\nfrom = "{day}"\ninput = {input}_000_000\n'
        f"cached_input = {cached}_000_000\noutput = {output}_000_000\n"
    )


HEAD = "replace = true\nversion = '1'\n[providers.openai]\nprotocol = 'openai'\n[providers.vllm]\nprotocol = 'openai'\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.toml"
    monkeypatch.setattr(settings(), "catalogue", str(path))
    monkeypatch.setattr(published, "prices", lambda day, update=False: Prices(WORLD, day))
    today(monkeypatch, DAY)
    path.write_text(HEAD + "".join(row(one.id, MORE.get(one.id, "")) for one in WORLD[0].models))
    return path


def today(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    monkeypatch.setattr(command, "_today", lambda: day)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["models", "sync", *words])


def found() -> dict[str, Any]:
    return {one["model"]: one for one in json.loads(run("--json").stdout)["models"]}


def changed(name: str) -> dict[str, tuple[int | None, int | None]]:
    millions = 1_000_000
    return {
        one["key"]: (one["old"] and one["old"] // millions, one["new"] and one["new"] // millions)
        for one in found()[name]["changes"]
    }


def kept(path: Path, name: str) -> Any:
    return tomllib.loads(path.read_text())["models"][name]


def test_prices_to_come_are_found_and_written_when_they_are_accepted(own: Path) -> None:
    assert changed("twice") == {
        "price_changes.2026-12-01.input": (100, 200),
        "price_changes.2026-12-01.cached_input": (10, 20),
        "price_changes.2026-12-01.output": (200, 400),
        "price_changes.2027-02-01.input": (200, 300),
    }
    assert "steady" not in found() and "searches" not in found(), "what is not priced here does not change"
    before = own.read_text()
    assert run("--accept", "twice").exit_code == 0
    assert kept(own, "twice")["price_changes"] == [
        {"from": "2026-12-01", "input": 200_000_000, "cached_input": 20_000_000, "output": 400_000_000},
        {"from": "2027-02-01", "input": 300_000_000, "cached_input": 20_000_000, "output": 400_000_000},
    ]
    assert "twice" not in found() and len(load(str(own)).models["twice"].price_changes) == 2
    assert tomllib.loads(before)["models"]["steady"] == kept(own, "steady")


def test_a_day_that_has_come_changes_nothing_where_the_row_knew_of_it(own: Path, monkeypatch: Any) -> None:
    run("--accept", "twice")
    before = own.read_text()
    for day in ("2026-12-01", "2027-01-31", "2027-02-01", "2028-01-01"):
        today(monkeypatch, date.fromisoformat(day))
        assert "twice" not in found()
    assert own.read_text() == before


def test_a_row_whose_day_has_come_gets_its_new_price_as_its_own(own: Path, monkeypatch: Any) -> None:
    own.write_text(HEAD + row("twice", change("twice", "2026-12-01", 190, 400, 20)))
    today(monkeypatch, date(2026, 12, 2))
    assert changed("twice") == {"input": (190, 200), "price_changes.2027-02-01.input": (200, 300)}
    assert run("--accept", "twice").exit_code == 0
    made = kept(own, "twice")
    assert (made["input"], made["cached_input"], made["output"]) == (200_000_000, 20_000_000, 400_000_000)
    assert [one["from"] for one in made["price_changes"]] == ["2027-02-01"] and "twice" not in found()


def test_a_price_to_come_that_is_taken_back_is_shown_and_goes_when_it_is_accepted(own: Path) -> None:
    own.write_text(HEAD + row("steady", change("steady", "2026-12-24", 150, 200, 10)))
    assert changed("steady") == {
        "price_changes.2026-12-24.input": (150, None),
        "price_changes.2026-12-24.cached_input": (10, None),
        "price_changes.2026-12-24.output": (200, None),
    }
    assert run("--accept", "steady").exit_code == 0
    assert "price_changes" not in kept(own, "steady") and "steady" not in found()


def test_what_is_not_published_any_more_is_said_and_stays(own: Path) -> None:
    own.write_text(own.read_text() + row("vanished") + row("local").replace('"openai"', '"vllm"'))
    seen, before = found(), own.read_text()
    assert {name: one["unpublished"] for name, one in seen.items() if one["unpublished"]} == {
        "uncached": ["cached_input"],
        "untiered": ["service_tiers.flex"],
        "short": ["long_context"],
    }
    assert seen["vanished"]["retired"] and seen["vanished"]["refused"] == "no price is published"
    shown = run().output
    for said in (
        "uncached: cached_input is not published; it stays",
        "untiered: service_tiers.flex is not published; it stays",
        "vanished: no price is published any more; the row stays",
        "Not compared, prices of vllm are not published: local.",
    ):
        assert said in shown
    assert run("--accept", "uncached").exit_code == 2 and own.read_text() == before


def test_prices_to_come_that_cannot_be_written_do_not_stop_those_of_today(own: Path) -> None:
    seen = found()
    assert seen["uncached-then"]["refused_to_come"] == "from 2027-01-01: cached_input is not published"
    assert "would change by a factor of more than 10" in seen["wild"]["refused_to_come"]
    assert not seen["wild"]["changes"] and not seen["wild"]["refused"]
    own.write_text(own.read_text().replace("output = 200_000_000", "output = 190_000_000"))
    assert changed("wild") == {"output": (190, 200)} and run("--accept", "wild").exit_code == 0
    assert kept(own, "wild")["output"] == 200_000_000 and "price_changes" not in kept(own, "wild")


def test_a_tier_that_is_not_published_stays_in_the_prices_to_come(own: Path) -> None:
    later = change("later", "2027-01-01", 190, 400, 20) + "service_tiers = { flex = { input = 7, output = 8 } }\n"
    own.write_text(HEAD + row("later", TIER.replace(", cached_input = 5_000_000", "") + later))
    assert changed("later") == {"price_changes.2027-01-01.input": (190, 200)}
    assert found()["later"]["unpublished"] == ["service_tiers.flex"] and not found()["later"]["refused_to_come"]
    assert run("--accept", "later").exit_code == 0
    (made,) = kept(own, "later")["price_changes"]
    assert made["service_tiers"] == {"flex": {"input": 7, "output": 8}} and made["input"] == 200_000_000


def test_a_tier_changes_with_its_model(own: Path) -> None:
    assert changed("tiered")["price_changes.2027-01-01.service_tiers.flex.input"] == (50, 100)
    assert run("--accept", "tiered").exit_code == 0
    (made,) = load(str(own)).models["tiered"].price_changes
    assert (made.input, made.service_tiers["flex"].output) == (200_000_000, 200_000_000)


def test_what_it_prints_fits_into_eighty_columns_and_is_whole_in_a_pipe(own: Path, monkeypatch: Any) -> None:
    own.write_text(own.read_text() + row("vanished"))
    piped = run("--new").output
    assert "price_changes.2027-01-01.long_context.cached_input" not in piped
    assert "price_changes.2027-01-01.long_context.output" in piped
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("producer.cli.output.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("producer.cli.output.Output.__init__", terminal)
    shown = run("--new").output.splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[0].split()[:4] == ["model", "price", "old", "new"]
    assert any(line.split()[:6] == ["twice", "2026-12-01", "input", "100", "200", "+100"] for line in shown)
    assert any(line.split()[:4] == [LONG_NAME, "2027-01-01", "long", "output"] for line in shown)
    assert " ".join(shown).count("vanished: no price is published any more; the row stays") == 1


def terminal(self: Any, as_json: bool) -> None:
    self.as_json, self.is_terminal, self.width = as_json, True, 80


def test_a_file_that_would_not_load_is_not_compared(own: Path) -> None:
    own.write_text(HEAD + row("twice").replace("input =", "inputs ="))
    refused = run()
    assert refused.exit_code == 1 and "models.twice.inputs: unknown key; did you mean 'input'?" in refused.output


def test_the_docstring_s_example_holds() -> None:
    results = doctest.testmod(sync_page)
    assert results.attempted and not results.failed


#: Models whose flex tier genai-prices has in a comment alone.
FLEX_IN_WORDS = {
    "gemini-pro",
    "gemini-4-argon",
    "gemini-3.8-flash",
    "gemini-3.7-flash",
    "gemini-3.6-flash",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
}


def test_the_shipped_prices_to_come_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "catalogue", "")
    for day in ("2026-11-29", "2026-12-01", "2027-01-01"):
        today(monkeypatch, date.fromisoformat(day))
        seen = found()
        assert {name for name, one in seen.items() if one["changes"]} == {"text-embedding-3-large"}
        assert {name for name, one in seen.items() if one["unpublished"]} == FLEX_IN_WORDS
        assert not any(one["refused_to_come"] for one in seen.values())

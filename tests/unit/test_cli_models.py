"""fusionai models: add and remove keep an operator's comments; sync writes what is accepted and refuses what is odd."""

import json
import tomllib
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from producer import cli
from producer.cli import own_models as command
from producer.pricelist import own_file, published
from producer.pricelist.published import Prices
from shared.settings import settings
from shared.submissions.catalogue import checked, load
from shared.submissions.catalogue_files import joined

DAY = date(2026, 11, 29)
SHIPPED = checked(joined(None)).models


def dollars(**given: str | TieredPrices) -> ModelPrice:
    return ModelPrice(**{f"{k}_mtok": Decimal(v) if isinstance(v, str) else v for k, v in given.items()})


def model(id: str, prices: Any, **more: Any) -> ModelInfo:
    return ModelInfo(id=id, match=ClauseEquals(equals=id), prices=prices, **more)


def tiers(base: str, above: str, start: int = 200_000) -> TieredPrices:
    return TieredPrices(base=Decimal(base), tiers=[Tier(start=start, price=Decimal(above))])


#: A small world of prices, in dollars per million tokens.
WORLD = [
    Provider(
        id="openai",
        name="OpenAI",
        api_pattern="",
        models=[
            model("same", dollars(input="1", output="2")),
            model("dearer", dollars(input="2", output="2", cache_read="0.1")),
            model("free", dollars(input="0", output="2")),
            model("gone", ModelPrice()),
            model("tenfold", dollars(input="11", output="2")),
            model("fraction", dollars(input="0.000000001", output="2")),
            model("old", dollars(input="1", output="2"), deprecated=True),
            model("long", dollars(input=tiers("1", "2"), output=tiers("2", "3"))),
            model("odd", dollars(input=tiers("1", "2", 5), output=tiers("2", "3", 6))),
            model(
                "later",
                [
                    ConditionalPrice(prices=dollars(input="1", output="2")),
                    ConditionalPrice(
                        constraint=StartDateConstraint(date(2027, 1, 1)), prices=dollars(input="9", output="9")
                    ),
                ],
            ),
            model(
                "hours",
                [
                    ConditionalPrice(prices=dollars(input="1", output="2")),
                    ConditionalPrice(
                        constraint=TimeOfDateConstraint(time(1), time(4)), prices=dollars(input="2", output="4")
                    ),
                ],
            ),
            model(
                "flexible",
                dollars(input="1", output="2"),
                price_variants=[PriceVariant(when={"service_tier": "flex"}, prices=dollars(input="0.6", output="1"))],
            ),
            model("fresh", dollars(input="3", output="4"), context_window=1000),
        ],
    )
]
NAMES = [one.id for one in WORLD[0].models if one.id != "fresh"]


def row(name: str) -> str:
    return (
        f'[models.{name}]\ntype = "chat.completion"\nprovider = "openai"\nupstream = "{name}"\npurpose = ""\n'
        "input = 100_000_000  # a dollar\noutput = 200_000_000\nmax_output = 10\n"
    )


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.toml"
    monkeypatch.setattr(settings(), "catalogue", str(path))
    monkeypatch.setattr(settings(), "state_directory", tmp_path)
    monkeypatch.setattr(command, "_today", lambda: DAY)
    return path


@pytest.fixture
def world(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(published, "prices", lambda day, update=False: Prices(WORLD, day))
    own.write_text(
        "# mine\nreplace = true\nversion = '1'\n[providers.openai]\nprotocol = 'openai'\n\n"
        + "\n".join(map(row, NAMES))
    )
    return own


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["models", *words])


def found() -> dict[str, Any]:
    return {one["model"]: one for one in json.loads(run("sync", "--json").stdout)["models"]}


ADD = ("add", "llama", "--provider", "vllm", "--input", "1000", "--output", "2000", "--max-output", "4096")


def test_add_writes_a_row_that_loads_and_remove_takes_it_out_again(own: Path) -> None:
    added = run(*ADD, "--upstream", "meta/Llama-4", "--cached-input", "10", "--context", "9000", "--can", "tools",
                "--cache-write-1h", "30", "--reasoning", "40", "--request", "50")  # fmt: skip
    assert added.exit_code == 0, added.output
    made = load(str(own)).models["llama"]
    assert (made.upstream, made.input, made.output, made.cached_input) == ("meta/Llama-4", 1000, 2000, 10)
    assert (made.cache_write, made.cache_write_1h, made.reasoning, made.request) == (None, 30, 40, 50)
    assert (made.context, made.max_output, made.capabilities) == (9000, 4096, ["tools"])
    assert run("remove", "llama").exit_code == 0 and "llama" not in load(str(own)).models
    assert run("remove", "llama").exit_code == 1


def test_comments_and_other_rows_stay_as_they_are(own: Path) -> None:
    text = (
        "# head\n\n# of b\n[models.b]\n"
        + row("b").partition("\n")[2]
        + "\n# of c\n[providers.c]\nprotocol = 'openai'\n"
    )
    own.write_text(text)
    own.chmod(0o640)
    assert run(*ADD).exit_code == 0 and own.read_text().startswith(text)
    assert run(*ADD[:-1], "5").exit_code == 0 and load(str(own)).models["llama"].max_output == 5
    assert own.read_text().count("[models.llama]") == 1 and own.stat().st_mode & 0o777 == 0o640
    assert run("remove", "b").exit_code == 0
    left = own.read_text()
    assert "# head" in left and "# of c\n[providers.c]" in left and "models.b" not in left
    assert [one.name for one in own.parent.iterdir()] == ["own.toml"]


def test_a_model_that_ships_is_removed_by_name_and_comes_back_when_it_is_added(own: Path) -> None:
    assert run("remove", "gpt-4").exit_code == 0 and run("remove", "claude-3-opus").exit_code == 0
    assert tomllib.loads(own.read_text())["remove"] == ["gpt-4", "claude-3-opus"]
    assert not {"gpt-4", "claude-3-opus"} & set(load(str(own)).models)
    assert run("add", "gpt-4", *ADD[2:]).exit_code == 0
    assert load(str(own)).models["gpt-4"].provider == "vllm"
    assert tomllib.loads(own.read_text())["remove"] == ["claude-3-opus"]


def test_nothing_is_written_that_would_not_load(own: Path) -> None:
    refused = run("add", "llama", "--provider", "vlm", "--input", "1", "--output", "1", "--max-output", "1")
    assert refused.exit_code == 1 and "did you mean 'vllm'?" in refused.output and not own.exists()
    own.write_text("[models.a\n")
    assert run(*ADD).exit_code == 1 and own.read_text() == "[models.a\n"
    assert run("add", "x", "--provider", "vllm", "--input", "-1").exit_code == 2
    for without in ("--output", "--max-output"):
        at = ADD.index(without)
        lacking = run(*ADD[:at], *ADD[at + 2 :])
        assert lacking.exit_code == 2 and f"a chat.completion needs {without}" in lacking.output
    assert (
        run("add", "e", "--provider", "vllm", "--type", "embedding", "--input", "1", "--file", f"{own}2").exit_code == 0
    )


def test_without_a_file_of_one_s_own_it_says_what_to_set(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "catalogue", "")
    assert "FUSIONAI_CATALOGUE" in run(*ADD).output
    assert run(*ADD, "--file", str(own)).exit_code == 0 and "llama" in own.read_text()


def test_sync_says_what_changed_and_what_is_refused_and_why(world: Path) -> None:
    before, seen = world.read_text(), found()
    assert "same" not in seen and "hours" in seen and world.read_text() == before
    assert seen["dearer"]["changes"] == [
        {"key": "input", "old": 100_000_000, "new": 200_000_000},
        {"key": "cached_input", "old": None, "new": 10_000_000},
    ]
    refusals = {name: one["refused"] for name, one in seen.items() if one["refused"]}
    assert refusals == {
        "free": "input would cost nothing",
        "gone": "input would cost nothing",
        "tenfold": "input would change by a factor of more than 10",
        "fraction": "input of 1E-9 dollars is no whole number of micro-credits",
        "odd": "its prices change at more than one length of the input",
    }
    assert seen["old"]["retired"] and seen["later"]["changes_on"] == "2027-01-01"
    assert [one["new"] for one in seen["hours"]["changes"]] == [200_000_000, 400_000_000], "the dearest hour's"


def test_sync_writes_what_is_accepted_and_nothing_else(world: Path) -> None:
    before = tomllib.loads(world.read_text())["models"]
    assert run("sync").exit_code == 0 and tomllib.loads(world.read_text())["models"] == before
    assert run("sync", "--accept", "dearer").exit_code == 0
    after = tomllib.loads(world.read_text())["models"]
    assert {name for name in after if after[name] != before[name]} == {"dearer"}
    assert after["dearer"] == {**before["dearer"], "input": 200_000_000, "cached_input": 10_000_000}
    assert world.read_text().count("# a dollar") == len(NAMES) and "# mine" in world.read_text()
    for name in ("free", "tenfold", "same", "nobody"):
        assert run("sync", "--accept", name).exit_code == 2
    every = run("sync", "--yes")
    assert every.exit_code == 0, every.output
    assert {name for name, one in found().items() if one["changes"] and not one["refused"]} == set()
    assert tomllib.loads(world.read_text())["models"]["free"] == before["free"]


def test_a_price_by_length_is_one_key_of_the_row() -> None:
    long = Prices(WORLD, DAY).find("openai", "long")
    assert long is not None
    assert long.prices["long_context"] == {"above": 200_000, "input": 200_000_000, "output": 300_000_000}


def test_a_row_that_ships_is_copied_into_the_file_with_its_new_price(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = SHIPPED["gpt-4.1"].upstream
    data = [Provider(id="openai", name="", api_pattern="", models=[model(upstream, dollars(input="3", output="8"))])]
    monkeypatch.setattr(published, "prices", lambda day, update=False: Prices(data, day))
    assert run("sync", "--accept", "gpt-4.1").exit_code == 0
    made = load(str(own)).models
    assert made["gpt-4.1"] == SHIPPED["gpt-4.1"].model_copy(update={"input": 300_000_000})
    assert set(made) == set(SHIPPED)


def test_the_price_of_a_service_tier_that_is_sold_is_compared_too(world: Path) -> None:
    assert "flexible" not in found(), "a tier without a price is not sold"
    tier = "[models.flexible.service_tiers.flex]\ninput = 50_000_000\noutput = 100_000_000\n"
    text = world.read_text()
    world.write_text(text + "\n" + tier)
    assert found()["flexible"]["changes"] == [{"key": "service_tiers.flex.input", "old": 50_000_000, "new": 60_000_000}]
    assert run("sync", "--accept", "flexible").exit_code == 0
    made = tomllib.loads(world.read_text())["models"]["flexible"]
    assert made["service_tiers"] == {"flex": {"input": 60_000_000, "output": 100_000_000}}
    assert "flexible" not in found() and load(str(world)).models["flexible"].service_tiers["flex"].input == 60_000_000


def test_new_models_are_listed_when_they_are_asked_for(world: Path) -> None:
    assert json.loads(run("sync", "--json").stdout)["new"] == []
    (new,) = json.loads(run("sync", "--new", "--json").stdout)["new"]
    assert new == {"provider": "openai", "id": "fresh", "input": 300_000_000, "output": 400_000_000, "context": 1000}


def test_the_package_s_own_data_knows_a_model_and_its_price_of_a_day() -> None:
    prices = published.prices(DAY)
    opus = prices.find("anthropic", "claude-opus-4-6")
    assert opus is not None and opus.prices["input"] == 500_000_000 and "long_context" not in opus.prices
    assert opus.prices["cache_write_1h"] == 2 * opus.prices["input"] and opus.context == 1_000_000
    earlier = published.prices(date(2026, 3, 1)).find("anthropic", "claude-opus-4-6")
    assert earlier is not None and earlier.prices["long_context"]["above"] == 200_000
    assert prices.find("openai", "no-such-model") is None and not prices.has("vllm")


def test_the_shipped_prices_are_the_published_ones_of_their_day(own: Path) -> None:
    """But for those that the seeds fixed, which the command refuses to change."""
    seen = found()
    differing = {name for name, one in seen.items() if any(key["old"] is not None for key in one["changes"])}
    assert differing == {"text-embedding-3-large"} and seen["text-embedding-3-large"]["refused"]


def test_a_missing_package_is_a_sentence(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "genai_prices", None)
    result = run("sync")
    assert result.exit_code == 1 and "genai-prices cannot be imported" in result.output


def test_the_newest_prices_are_fetched_only_when_asked(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import genai_prices

    def away(self: Any) -> Any:
        raise OSError("no network")

    monkeypatch.setattr(genai_prices.UpdatePrices, "fetch", away)
    assert run("sync").exit_code == 0
    refused = run("sync", "--update")
    assert refused.exit_code == 1 and "the newest prices could not be fetched: no network" in refused.output


def test_a_value_is_written_as_toml() -> None:
    change = own_file.with_row("a.b", {"x": [1, "ü"], "y": {"z-1": True}, "w": 1_000_000, "q": 'a"b'})
    assert tomllib.loads(change("")) == {
        "models": {"a.b": {"x": [1, "ü"], "y": {"z-1": True}, "w": 1_000_000, "q": 'a"b'}}
    }

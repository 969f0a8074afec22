"""Whatever an operator's file says, it is a catalogue or a list of faults; no price in it is unknown or too high."""

import os
import random
from copy import deepcopy
from typing import Any

import pytest

from shared import clock
from shared.money.pricing import Amount, price, worst_case
from shared.submissions import catalogue as module
from shared.submissions import catalogue_files, quote
from shared.submissions.catalogue import catalogue, checked, read
from shared.submissions.catalogue_files import CatalogueError, Source, joined, shipped
from shared.submissions.price_rows import MOST_MICROS
from shared.submissions.schemas import read_submission
from tests.unit.test_catalogue_reload import File, file, row
from workers.answers.reported import MOST_TOKENS

__all__ = ["file"]

CHAT = """
[models.m]
type = "chat.completion"
provider = "openai"
upstream = "u"
purpose = ""
max_output = 10
"""
PRICED = CHAT + "input = 1\noutput = 2\n"
EMBEDDING = '[models.m]\ntype = "embedding"\nprovider = "openai"\nupstream = "u"\npurpose = ""\n'
VALUES: list[Any] = [None, True, 0, -1, 10**30, 1.5, float("nan"), "", "\0", "gpt-4", [], [1], [[]], {}, {"input": 1}]


def faults(text: str) -> str:
    with pytest.raises(CatalogueError) as error:
        read(text)
    return "\n".join(error.value.faults)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHAT + "input = 1\n", "models.m.output: is missing"),
        (CHAT + "output = 1\n", "models.m.input: is missing"),
        (CHAT + 'images = { "1024x1024" = 4 }\n', "models.m.input: is missing"),
        (EMBEDDING + "output = 1\n", "models.m.input: is missing"),
        (PRICED + 'service_tiers.flex = { images = { "1024x1024" = 4 } }\n', "service_tiers.flex.output: is missing"),
        (PRICED + "service_tiers.default = { input = 0, output = 0 }\n", "service_tiers.default: is the usual tier"),
        (PRICED + 'service_tiers."" = { input = 0, output = 0 }\n', "is the usual tier"),
        (CHAT + f"input = {MOST_MICROS + 1}\noutput = 1\n", "models.m.input: input should be less than"),
        (PRICED.replace("10", "10_000_000_000"), "models.m.max_output: input should be less than"),
        (PRICED + "defaults = { n = 128 }\n", "models.m.defaults.n: cannot be a default"),
        (PRICED.replace("models.m", 'models."a\\u0000b"'), "should match pattern"),
        (PRICED.replace("models.m", 'models.""'), "should match pattern"),
        ('[providers."a/b"]\nprotocol = "openai"\n', "should match pattern"),
        ("[models]\nx = 5\n" + PRICED + 'fallbacks = ["x"]\n', "models.x: must be a table"),
        ('remove = ["providers.sandbox"]\n', "cannot be removed"),
        ("x = " + "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_would_be_free_or_out_of_bounds_is_a_fault(text: str, said: str) -> None:
    assert said in faults(text)


def test_a_model_that_costs_nothing_says_so() -> None:
    assert read(CHAT + "input = 0\noutput = 0\nrequest = 1\n").models["m"].output == 0


def test_at_the_dearest_prices_any_usage_that_is_believed_fits_into_64_bits() -> None:
    at = read(CHAT + f"input = {MOST_MICROS}\noutput = {MOST_MICROS}\nrequest = {MOST_MICROS}\n").prices["m"]
    assert price(Amount(MOST_TOKENS, MOST_TOKENS), at) < 2**63
    assert worst_case(Amount(100_000_000, 128 * 10**9), at) < 2**63


def test_nothing_else_comes_of_a_file_of_odd_values() -> None:
    drawn = random.Random(11)
    ships: dict[str, Any] = {}
    for source in shipped():
        for key, value in source.data.items():
            ships[key] = {**ships.get(key, {}), **value} if isinstance(value, dict) else value
    for _ in range(300):
        own = {kind: {name: deepcopy(ships[kind][name]) for name in drawn.sample(sorted(ships[kind]), 2)}
               for kind in ("models", "providers")}  # fmt: skip
        for _ in range(drawn.randint(1, 3)):
            _change(own, drawn)
        try:
            checked(joined(Source("own", "", own)))
        except CatalogueError as error:
            assert error.faults


def _change(value: Any, drawn: random.Random) -> None:
    """Put something odd into a place of a nested value."""
    while True:
        key = drawn.choice(sorted(value)) if isinstance(value, dict) else drawn.randrange(len(value))
        within = value[key]
        if not isinstance(within, dict | list) or not within or drawn.random() < 0.3:
            value[key] = deepcopy(drawn.choice(VALUES))
            return
        value = within


def _priced(model: str) -> int:
    asked = read_submission("chat.completion", {"model": model, "messages": [{"role": "user", "content": "hi"}]})
    return quote.offers(asked, catalogue(), test=False)[0].input


def test_a_file_that_is_being_written_is_not_read_before_it_is_whole(file: File) -> None:
    file.write(row(price=15_000_000))
    assert _priced("m") == 15_000_000
    whole_text = row(price=30_000_000)
    for end in (whole_text.index("30000000") + 2, 0):
        file.path.write_text(whole_text[:end] + ("\noutput = 1\nmax_output = 10\n" if end else ""))
        assert _priced("m") == 15_000_000, "a price cut off in its middle, or an empty file, is in force"
    file.path.write_text(whole_text)
    assert _priced("m") == 15_000_000
    assert _priced("m") == 30_000_000, "the file is the same at two looks"


def test_a_file_that_was_written_long_ago_is_read_at_once(file: File) -> None:
    file.write(row(price=15_000_000))
    assert _priced("m") == 15_000_000
    file.path.write_text(row(price=30_000_000))
    os.utime(file.path, (clock.now_seconds() - 60,) * 2)
    assert _priced("m") == 30_000_000


def test_a_reload_that_fails_in_a_way_that_nobody_foresaw_changes_nothing(
    file: File, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(row())
    before = catalogue()

    def broken(name: str) -> Any:
        raise AttributeError("oops")

    monkeypatch.setattr(module._current, "_make", broken)
    file.write(row(price=2))
    assert catalogue() is before and "AttributeError" in caplog.text


def test_a_file_of_many_faults_is_read_once_for_all_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = list[str]()
    head_of = catalogue_files.header_of

    def counted(line: str) -> Any:
        looked.append(line)
        return head_of(line)

    monkeypatch.setattr(catalogue_files, "header_of", counted)
    text = "".join(PRICED.replace("models.m]", f"models.m{at}]").replace("input", "imput") for at in range(50))
    found = faults(text)
    assert (
        "catalogue:8: models.m0.imput: unknown key" in found and "catalogue:449: models.m49.imput: unknown key" in found
    )
    assert len(looked) == len(text.splitlines()), "a process that runs would be held up for its whole lease"


def test_the_databases_clock_says_nothing_of_when_a_file_was_written(file: File) -> None:
    file.write(row(price=15_000_000))
    assert _priced("m") == 15_000_000
    clock.learn(clock.wall_micros() + 100 * clock.MICROS, clock.steady_micros())
    try:
        file.path.write_text(row(price=30)[:-1])
        assert _priced("m") == 15_000_000, "by the database's clock it was written long ago"
        assert _priced("m") == 30, "the file is the same at two looks"
    finally:
        clock.unlearn()

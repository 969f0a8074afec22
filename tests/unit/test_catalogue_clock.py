"""A bad catalogue stops the start with a reason; ids sort in the order they were made."""

import itertools
import threading
from pathlib import Path

import pytest

from shared import clock
from shared.errors import InvalidRequest
from shared.queues import provider_of, queue_name
from shared.submissions import catalogue as catalogue_module
from shared.submissions.catalogue import Provider, catalogue, endpoint, job_queues, read
from tests.catalogues import whole

GOOD = whole(
    """[models.m]
type = "chat.completion"
provider = "p"
upstream = "u"
purpose = "talk"
input = 1
output = 1
max_output = 10
"""
)

#: (what is replaced, by what, what the error names)
BAD = [
    ('version = "1"', "", "version"),
    ("request = 1\n", "", "request"),
    ("image = 1\n", "image = 1\nvideo = 1\n", "video"),
    ("[overheads]", "[overhead]", "catalogue:3: overhead: unknown key; did you mean 'overheads'?"),
    ('protocol = "openai"', "", "protocol"),
    ('protocol = "openai"', 'protocol = "openai"\nregion = "eu"', "region"),
    ('provider = "p"', 'provider = "q"', "catalogue:13: models.m.provider: provider 'q' is not defined"),
    ('provider = "p"', "", "provider"),
    ('type = "chat.completion"', 'type = "video"', "type"),
    ("input = 1", "input = -1", "input"),
    ("input = 1", "input = 1.5", "input"),
    ("input = 1\noutput = 1\n", "", "models.m: price is missing"),
    ("max_output = 10", "", "catalogue:11: models.m.max_output: is missing"),
    ("max_output = 10", "max_output = 10\nmax_input = 5", "max_input"),
    ("max_output = 10", "max_output = 10\ndefault_max_tokens = 11", "default_max_tokens: must not be above max_output"),
    ('upstream = "u"', "", "upstream"),
    ("[models.m]", "[models.m", "Expected"),
    ("[models.m]", "[modells.m]", "models"),
]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (None, "No such file or directory"),
        (
            b"[models.m]\n",
            "\n  {path}:1: models.m.type: is missing\n  {path}:1: models.m.provider: is missing"
            "\n  {path}:1: models.m.upstream: is missing\n  {path}:1: models.m.purpose: is missing",
        ),
        (b"version = \n", "\n  {path}:1: Invalid value"),
    ],
)
def test_a_file_that_is_no_catalogue_ends_the_start_with_a_sentence(
    tmp_path: Path, written: bytes | None, why: str
) -> None:
    path = tmp_path / "mine.toml"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(SystemExit) as ended:
        catalogue_module.load(str(path))
    assert str(ended.value) == f"cannot load the catalogue {path}: {why.format(path=path)}"


@pytest.mark.parametrize(("old", "new", "named"), BAD)
def test_a_bad_catalogue_is_an_error_that_names_the_place(old: str, new: str, named: str) -> None:
    assert GOOD.count(old) == 1
    read(GOOD)
    with pytest.raises((ValueError, KeyError, TypeError)) as error:
        read(GOOD.replace(old, new))
    assert named in str(error.value)


def test_the_shipped_catalogue_has_the_seeds_models() -> None:
    wanted = {
        "claude-3-opus": "anthropic",
        "claude-3-sonnet": "anthropic",
        "gpt-4": "openai",
        "gpt-3.5-turbo": "openai",
        "gemini-pro": "google",
    }
    assert {id: catalogue().model(id).provider for id in wanted} == wanted
    assert {"text-embedding-3-large", "image-gen-2", "fusion-one", "fluence-chat"} < set(catalogue().models)
    assert catalogue().model("openai.gpt-4").id == "gpt-4"


@pytest.mark.parametrize("id", ["gpt-4 ", "GPT-4", "google.gpt-4", "openai.", ".gpt-4", "", "x" * 10_000])
def test_an_unknown_model_is_a_short_400(id: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        catalogue().model(id, param="jobs[2].model")
    assert refused.value.param == "jobs[2].model" and len(refused.value.message) < 300


def test_a_key_in_the_environment_reaches_the_real_provider_else_the_simulator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Provider(name="p", protocol="openai", base_url="https://p.example/v1", key="P_KEY", simulated_path="/p/v1")
    settings = catalogue_module.settings()
    monkeypatch.setattr(settings, "simulator_url", "")
    assert endpoint(row) is None
    monkeypatch.setattr(settings, "simulator_url", "http://127.0.0.1:9/")
    simulated = endpoint(row)
    assert simulated is not None and (simulated.base_url, simulated.simulated) == ("http://127.0.0.1:9/p/v1", True)
    monkeypatch.setenv("P_KEY", "secret")
    real = endpoint(row)
    assert real is not None
    assert (real.base_url, real.key, real.simulated) == ("https://p.example/v1", "secret", False)


def test_an_operators_own_catalogue_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD)
    monkeypatch.setattr(catalogue_module.settings(), "catalogue", str(path))
    catalogue_module.forget()
    try:
        assert set(catalogue().models) == {"m"}
    finally:
        monkeypatch.undo()
        catalogue_module.forget()


def test_each_provider_has_a_queue_a_lane() -> None:
    for provider, lane in itertools.product(catalogue().queued, ("realtime", "batch")):
        name = queue_name(provider, lane)  # type: ignore[arg-type]
        assert name in job_queues() and provider_of(name) == provider
    assert provider_of("a.b.batch") == "a.b"


def test_a_provider_without_a_model_has_no_queue() -> None:
    assert "vllm" in catalogue().providers and "vllm.batch" not in job_queues()
    assert {model.provider for model in catalogue().models.values()} | {"sandbox"} == set(catalogue().queued)


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [clock.new_id("job") for _ in range(70_000)]
    assert ids == sorted(ids) and len(set(ids)) == 70_000, "more than its 16-bit count has room for in a millisecond"
    assert all(len(id) == 4 + 32 and int(id[4:], 16) >= 0 for id in ids)
    clock.shift(-clock.MICROS)
    try:
        assert clock.new_id("job") > ids[-1], "even when the clock is set back"
    finally:
        clock.shift(clock.MICROS)


def test_ids_of_many_threads_are_distinct() -> None:
    made: list[list[str]] = [[] for _ in range(8)]

    def make(into: list[str]) -> None:
        for count in range(40):
            into += [clock.new_id("x"), *clock.new_ids("x", count), *(clock.new_id("x") for _ in range(49 - count))]

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for ids in made for id in ids}) == 16_000
    assert all(ids == sorted(ids) for ids in made), "those made together among them"


def test_virtual_time_moves_the_wall_and_not_the_monotonic_clock() -> None:
    wall, steady = clock.now_micros(), clock.monotonic()
    clock.shift(3_600_000_000)
    try:
        assert clock.now_seconds() >= wall // clock.MICROS + 3600 and clock.monotonic() - steady < 60
        assert clock.new_id("a") > f"a_{wall // 1000:012x}"
    finally:
        clock.shift(-3_600_000_000)
    assert clock.now_micros() - wall < 60 * clock.MICROS


@pytest.mark.parametrize(
    ("micros", "month"),
    [(0, "1970-01"), (1_767_225_599_999_999, "2025-12"), (1_767_225_600_000_000, "2026-01")],
)
def test_months_are_utcs(micros: int, month: str) -> None:
    assert clock.month(micros) == month

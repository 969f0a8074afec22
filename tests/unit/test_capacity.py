"""The capacity page: its tables are what the model says, and a simulation holds the model to what was measured."""

from dataclasses import replace

import pytest

from deploy.capacity import __main__ as capacity
from deploy.capacity import sizing
from deploy.capacity.model import PROCESSES, UTILISATION, Costs, Demand, Limits, most, plan
from deploy.capacity.plot import picture, scaled
from deploy.capacity.simulation import on_this_machine, servers_of, simulate

COSTS = Costs.read(capacity.COSTS.read_text())
SYNCHRONOUS = COSTS.ways["synchronous"]
MIXED = capacity.demands()["1,000 jobs/s"]


def test_the_page_has_the_tables_of_these_costs() -> None:
    assert capacity.BEGIN + capacity.page(COSTS) + capacity.END in capacity.PAGE.read_text()


def test_what_to_begin_with_is_what_these_costs_say() -> None:
    assert capacity.BEGIN + capacity.sizes(COSTS) + capacity.END in capacity.SIZES_PAGE.read_text()


@pytest.mark.parametrize("size", sizing.SIZES, ids=lambda size: size.name)
def test_each_size_is_within_every_limit_and_may_lose_a_process(size: sizing.Size) -> None:
    rates = {way: share * size.rate for way, share in capacity.MIX.items()}
    found = plan(COSTS, Demand(rates, mean_of_peak=capacity.MEAN_OF_PEAK, kept_days=size.kept_days))
    assert max(found.of_limits.values()) <= 1
    processes = sizing.counts(found)
    assert all(processes[role] - 1 >= found.processes[role] for role in PROCESSES)


def test_connections_are_those_of_all_processes_and_one_that_follows_another() -> None:
    processes = {"web": 3, "worker": 4, "batches": 2, "sweeper": 2}
    assert sizing.connections(processes, 10) == (3 + 4 + 2 + 2 + 2 + 1) * 10 + sizing.OTHERS


def test_the_picture_is_of_these_costs() -> None:
    assert capacity.PICTURE.read_text() == picture(COSTS, MIXED)


@pytest.mark.parametrize("way", COSTS.ways)
def test_twice_the_rate_takes_twice_of_everything(way: str) -> None:
    once, twice = (plan(COSTS, Demand({way: rate})) for rate in (5_000.0, 10_000.0))
    assert twice.postgresql_cores == pytest.approx(2 * once.postgresql_cores)
    assert twice.redis_cores == pytest.approx(2 * once.redis_cores)
    assert twice.stored_bytes_per_day == pytest.approx(2 * once.stored_bytes_per_day)
    assert all(twice.processes[role] <= 2 * once.processes[role] for role in PROCESSES)


def test_workers_are_as_many_as_have_the_open_calls() -> None:
    slow = plan(COSTS, Demand({"batch": 1_000.0}, provider_seconds=60.0), Limits(slots=2_000))
    assert slow.processes["worker"] == 1_000 * 60 / (2_000 * UTILISATION)


def test_at_the_most_one_limit_is_reached_and_none_is_passed() -> None:
    full = plan(COSTS, scaled(MIXED, most(COSTS, MIXED)))
    assert max(full.of_limits.values()) == pytest.approx(1.0)
    assert full.of_limits[full.breaks_first] == max(full.of_limits.values())


def test_a_shorter_memory_moves_the_limit() -> None:
    short = replace(MIXED, kept_days=1.0)
    assert most(COSTS, short) > most(COSTS, MIXED)


@pytest.mark.parametrize("rate", [500.0, 2_000.0])
def test_what_is_planned_keeps_up_and_what_is_overrun_does_not(rate: float) -> None:
    servers = servers_of(plan(COSTS, Demand({"synchronous": rate})), capacity._cores_for(COSTS, rate))
    planned = simulate(SYNCHRONOUS, servers, rate, 6_000)
    overrun = simulate(SYNCHRONOUS, servers, rate * 3, 6_000)
    assert max(planned.busy.values()) <= UTILISATION * 1.1
    assert planned.p99 < 0.05
    assert overrun.p99 > 10 * planned.p99


def test_what_is_planned_of_a_machine_is_what_the_measured_one_did() -> None:
    """The simulation keeps its cores busy without a pause; a real machine waits for its disk as well."""
    simulated = on_this_machine(SYNCHRONOUS, 2, 16, 6_000)
    assert UTILISATION * simulated <= SYNCHRONOUS.per_second <= simulated


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--synchronous", "100"], "breaks first at"),
        (["--batch", "10000", "--kept-days", "7"], "PostgreSQL (size)"),
    ],
)
def test_a_plan_is_printed(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["capacity", *arguments])
    capacity.main()
    assert text in capsys.readouterr().out


def test_a_plan_of_nothing_is_an_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["capacity"])
    with pytest.raises(SystemExit):
        capacity.main()
    assert "a rate is needed" in capsys.readouterr().err

"""What `fusionai up --simulate` reads, and what it says of what it cannot read."""

from typing import Any

import pytest
from click.testing import CliRunner

from producer import cli
from producer.stack import simulation, stack
from producer.stack.simulation import SimulationError
from workers.simulator.__main__ import main


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("latency=2", ["--latency", "2"]),
        ("latency=0.5-3s, fail=5%", ["--latency", "0.5-3", "--fail", "0.05"]),
        ("fail=0.2,limit=600/min", ["--fail", "0.2", "--limit", "600"]),
        ("limit=90.5,latency=0", ["--limit", "90.5", "--latency", "0"]),
    ],
)
def test_what_is_asked_becomes_the_simulators_arguments(text: str, found: list[str]) -> None:
    assert simulation.arguments(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "valid are latency, fail, limit"),
        ("slow=2", "'slow=2': valid are latency, fail, limit"),
        ("latency", "latency=: seconds before each answer"),
        ("latency=3-1", "latency=3-1: seconds"),
        ("latency=-1", "latency=-1: seconds"),
        ("latency=inf", "latency=inf: seconds"),
        ("fail=120%", "fail=120%: the share of calls"),
        ("fail=2", "fail=2: the share of calls"),
        ("limit=0", "limit=0: requests per minute"),
        ("fail=1%,fail=2%", "fail is given twice"),
        ("latency=2,", "'': valid are"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(SimulationError) as error:
        simulation.arguments(text)
    assert said in str(error.value)
    result = CliRunner().invoke(cli.main, ["up", "--simulate", text])
    assert result.exit_code == 2 and "--simulate" in result.output


def test_the_simulator_takes_what_is_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("workers.simulator.__main__.serve", lambda app, *where: served.append(app))
    main(simulation.arguments("latency=0.5-3,fail=5%,limit=600"))
    (app,) = served
    assert (app.usual.latency_seconds, app.usual.latency_up_to, app.script.fail) == (0.5, 3.0, 0.05)


def test_it_is_passed_on_to_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[stack.Options] = []
    monkeypatch.setattr(stack, "up", lambda options: given.append(options) or 0)
    assert CliRunner().invoke(cli.main, ["up", "--simulate", "latency=2"]).exit_code == 0
    assert given[0].simulation == ("--latency", "2")

"""Every cell of the upstream zoo over HTTP: its table is zoo.py, which says what each word means."""

import logging
from collections.abc import Iterator
from typing import Any, Final

import pytest

from shared.errors import ProviderError
from shared.money.pricing import charge
from tests.providers.heard import Heard
from tests.providers.test_call_limits import PATIENT
from tests.providers.zoo import CALLERS, ZOO, Comes, Fault, repeats
from tests.providers.zoo_cells import PROTOCOLS, Caller, breaker, call_of, offer_of
from workers.providers import ProviderAnswer, TimeLimits
from workers.running.retry import Defer, GiveUp, Retry, Situation, decide
from workers.simulator.server import simulator

#: The limit that a fault is about is short, the others are not: a busy machine changes nothing.
LIMITS: Final = {
    "": PATIENT,
    "first": TimeLimits(first_seconds=0.2, idle_seconds=30, whole_seconds=60),
    "idle": TimeLimits(first_seconds=30, idle_seconds=0.2, whole_seconds=60),
    "whole": TimeLimits(first_seconds=30, idle_seconds=30, whole_seconds=0.5),
}
#: In the key that every cell is called with; nowhere else.
CANARY: Final = "canary-9b3e"
BODY: Final[dict[str, Any]] = {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 200}
CELLS: Final = [
    pytest.param(fault, protocol, mode, id=f"{fault.name}, {protocol}, {mode}")
    for fault in ZOO
    for protocol in PROTOCOLS
    for mode in fault.modes.split()
    if fault.order_for(protocol) is not None
]


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with simulator() as url:
        made = Caller(url)
        yield made
        made.close()


def met(caller: Caller, fault: Fault, protocol: str, mode: str) -> ProviderAnswer | ProviderError:
    """What a first call comes to."""
    spoken = PROTOCOLS[protocol]
    caller.script({"provider": protocol, "fault": fault.order_for(protocol)})
    sink = Heard() if mode == "streamed" else None
    return caller.try_call(spoken, call_of(spoken, BODY, sink=sink, limits=LIMITS[fault.short]), key=CANARY)


def what_comes(made: ProviderAnswer | ProviderError, protocol: str) -> Comes:
    """The same in the words of the table."""
    if isinstance(made, ProviderAnswer):
        return Comes("served", "served", "well", charged(made, protocol))
    begun = int(made.head)
    words = {Retry: "retry", Defer: "defer"}
    verdicts = []
    for lane in ("realtime", "batch"):
        at = Situation(lane, begun=begun, another_left=True)  # type: ignore[arg-type]
        verdict = decide(made, at, base_seconds=1.0, jitter=0.0)
        word = ("turn" if verdict.elsewhere else "fail") if isinstance(verdict, GiveUp) else words[type(verdict)]
        verdicts.append(word)
    return Comes(*verdicts, breaker(made))  # type: ignore[arg-type]


def charged(answer: ProviderAnswer, protocol: str) -> Any:
    """By which counts; whatever they are, it is more than nothing and no more than was held."""
    offer = offer_of(PROTOCOLS[protocol])
    paid, lost = charge(answer.usage.amount, offer.price, bound=offer.bound_micros)
    assert 0 < paid <= offer.bound_micros
    return "capped" if lost else "estimated" if answer.usage.estimated else "reported"


@pytest.mark.parametrize(("fault", "protocol", "mode"), CELLS)
def test_what_comes_of_a_fault_is_what_the_table_says(
    caller: Caller, caplog: pytest.LogCaptureFixture, fault: Fault, protocol: str, mode: str
) -> None:
    caplog.set_level(logging.DEBUG)
    made = met(caller, fault, protocol, mode)
    assert what_comes(made, protocol) == fault.comes_in(protocol, mode), repr(made)
    check_hidden(made, caplog)


def check_hidden(made: ProviderAnswer | ProviderError, caplog: pytest.LogCaptureFixture) -> None:
    """The key is in no field of what came, which is what goes into rows and answers, and in no line of the log."""
    shown = [made.message, made.code, made.param, made.args] if isinstance(made, ProviderError) else [made]
    assert CANARY not in repr([*shown, getattr(made, "details", None)]) + caplog.text


#: Where a provider may repeat the key that it was called with.
REPEATS: Final = repeats(CANARY)


@pytest.mark.parametrize("mode", ["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("given", REPEATS.values(), ids=REPEATS)
def test_a_key_that_its_provider_repeats_is_not_shown(
    caller: Caller, caplog: pytest.LogCaptureFixture, given: dict[str, Any], protocol: str, mode: str
) -> None:
    caplog.set_level(logging.DEBUG)
    check_hidden(met(caller, Fault("", given, CALLERS), protocol, mode), caplog)

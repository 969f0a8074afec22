"""How long callers wait, as their headers tell; what each official SDK sends."""

from typing import Any

import pytest
from starlette.datastructures import Headers

from producer.web import patience
from producer.web.patience import Patience

SERVER = 600.0


def told(*headers: tuple[str, str]) -> Patience:
    return patience.read(Headers(raw=[(name.encode(), value.encode()) for name, value in headers]))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 600),
        ([("prefer", "wait=28")], 28),
        ([("prefer", "return=minimal; wait=28")], 28),
        ([("prefer", "return=minimal"), ("prefer", 'wait="28"')], 28),
        ([("prefer", "wait=2, wait=9")], 2),
        ([("prefer", "wait=0")], 0),
        ([("prefer", "wait=99999999")], 600),
        ([("prefer", "wait=-1")], 600),
        ([("prefer", "wait=soon")], 600),
        ([("prefer", "wait")], 600),
        ([("x-stainless-read-timeout", "600")], 598),
        ([("x-stainless-read-timeout", "600.0")], 598),
        ([("x-stainless-read-timeout", "30")], 28),
        ([("x-stainless-timeout", "30")], 28),
        ([("x-stainless-read-timeout", "20"), ("x-stainless-timeout", "600")], 18),
        ([("x-stainless-read-timeout", "3")], 1.5),
        ([("x-stainless-read-timeout", "0.1")], 0.5),
        ([("x-stainless-read-timeout", "3600")], 600),
        ([("x-stainless-read-timeout", "60"), ("prefer", "wait=5")], 5),
        ([("x-stainless-read-timeout", "6"), ("prefer", "wait=28")], 4),
        *(
            ([("x-stainless-read-timeout", garbage)], 600)
            for garbage in ("", "0", "-5", "nan", "inf", "1e3", "None", "NOT_GIVEN", "Timeout(timeout=600.0)", "5 s")
        ),
        ([("prefer", "respond-async")], 0),
        ([("prefer", "respond-async, wait=5")], 5),
        ([("prefer", "respond-async; wait=-1")], 0),
        ([("prefer", "respond-async, wait=99"), ("x-stainless-read-timeout", "30")], 28),
    ],
)
def test_how_long_a_call_waits(headers: list[tuple[str, str]], seconds: float) -> None:
    assert told(*headers).for_answer(SERVER) == seconds


def test_a_stream_is_begun_before_its_reader_gives_up_and_then_has_its_time() -> None:
    """A read timeout is about silence, and comments end that; `Prefer: wait` is about the answer."""
    hasty = told(("x-stainless-read-timeout", "3"))
    assert (hasty.for_silence(5), hasty.for_silence(10), hasty.for_first_event(SERVER)) == (1.5, 1.5, SERVER)
    usual = told(("x-stainless-read-timeout", "600"))
    assert (usual.for_silence(5), usual.for_silence(10), usual.for_first_event(SERVER)) == (5, 10, SERVER)
    assert told(("prefer", "wait=28")).for_first_event(SERVER) == 28


@pytest.mark.parametrize("package", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("given", "seconds"), [({}, 598), ({"timeout": 30}, 28), ({"timeout": 2.5}, 1.25), ({"timeout": None}, 600)]
)
def test_what_the_official_sdk_for_python_sends_is_understood(
    package: str, given: dict[str, Any], seconds: float
) -> None:
    sdk = pytest.importorskip(package)
    client = sdk.OpenAI(api_key="k", **given) if package == "openai" else sdk.Anthropic(api_key="k", **given)
    options = __import__(f"{package}._models", fromlist=["FinalRequestOptions"]).FinalRequestOptions(
        method="post", url="/"
    )
    headers = client._build_headers(options)
    assert told(*headers.items()).for_answer(SERVER) == seconds
    client.close()

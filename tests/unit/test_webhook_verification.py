"""Deliveries as a receiver verifies them: with this client, `standardwebhooks`, OpenAI's SDK; what fails says why."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from standardwebhooks import Webhook

from fusionai.plain import PlainClient, SeenEvents, WebhookVerificationError
from fusionai.webhook_verification import verify
from shared import clock
from shared.webhooks import signing

SECRET, OTHER, THIRD = (signing.secret_of(bytes([number]) * 32) for number in (1, 2, 3))
NOW = 1_795_900_000
EVENT = {"id": "evt_1", "object": "event", "type": "job.completed", "created_at": NOW, "data": {"é": "🎉"}}
BODY = json.dumps(EVENT).encode()


def signed(*secrets: str, at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    return signing.headers("evt_1", body, at, secrets or (SECRET,))


def refused(headers: dict[str, str], *, body: bytes | str = BODY, secret: Any = SECRET, **more: Any) -> Any:
    with pytest.raises(WebhookVerificationError) as caught:
        verify(body, headers, secret, now=NOW, **more)
    assert SECRET not in str(caught.value)
    return caught.value


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in signed().items() if name.lower() not in names}


def test_a_genuine_one_is_the_event() -> None:
    assert verify(BODY, signed(), SECRET, now=NOW) == EVENT
    assert verify(BODY.decode(), {name.upper(): value for name, value in signed().items()}, SECRET, now=NOW) == EVENT
    assert PlainClient.webhooks.fget is not None
    with PlainClient("http://127.0.0.1:9/v1", "fusionai_test_x") as client:
        now = signed(at=clock.now_seconds())
        assert client.webhooks.verify(BODY, now, SECRET) == EVENT


def test_each_convention_alone_is_enough_and_both_must_hold() -> None:
    assert verify(BODY, without("fusionai-signature"), SECRET, now=NOW) == EVENT
    standard = ("webhook-id", "webhook-timestamp", "webhook-signature")
    assert verify(BODY, without(*standard), SECRET, now=NOW) == EVENT
    forged = signed() | {"FusionAI-Signature": signed(OTHER)["FusionAI-Signature"]}
    assert "FusionAI-Signature" in str(refused(forged))
    forged = signed() | {"webhook-signature": signed(OTHER)["webhook-signature"]}
    assert "webhook-signature" in str(refused(forged))


def test_one_of_several_signatures_and_secrets_is_enough() -> None:
    for secret in (SECRET, OTHER, [THIRD, OTHER], (SECRET, THIRD)):
        assert verify(BODY, signed(SECRET, OTHER), secret, now=NOW) == EVENT
    assert refused(signed(SECRET, OTHER), secret=THIRD).reason == "signature"


@pytest.mark.parametrize(
    ("headers", "reason", "said"),
    [
        ({}, "missing_header", "neither webhook-signature nor FusionAI-Signature is there"),
        (without("webhook-id"), "missing_header", "webhook-id is missing"),
        (without("webhook-timestamp"), "missing_header", "webhook-timestamp is missing"),
        (without("webhook-signature"), "missing_header", "webhook-signature is missing"),
        (signed() | {"webhook-timestamp": "soon"}, "timestamp", "webhook-timestamp has no timestamp"),
        (signed() | {"webhook-timestamp": "9" * 5000}, "timestamp", "webhook-timestamp has no timestamp"),
        (signed() | {"FusionAI-Signature": "v1=ab"}, "timestamp", "FusionAI-Signature has no timestamp"),
        (signed(at=NOW - 301), "timestamp", "webhook-timestamp is 301 s old; at most 300 s are tolerated"),
        (signed(at=NOW + 301), "timestamp", "webhook-timestamp is 301 s in the future; at most 300 s are tolerated"),
        (signed() | {"webhook-timestamp": str(NOW + 1)}, "signature", "no signature in webhook-signature matches"),
        (signed() | {"webhook-id": "evt_2"}, "signature", "no signature in webhook-signature matches"),
        (signed() | {"webhook-signature": "v1,"}, "signature", "no signature in webhook-signature matches"),
        (signed() | {"webhook-signature": "v1,\udcff"}, "signature", "no signature in webhook-signature matches"),
    ],
)
def test_what_is_wrong_is_named(headers: dict[str, str], reason: str, said: str) -> None:
    error = refused(headers)
    assert error.reason == reason and str(error).startswith(said)


def test_a_changed_body_and_one_that_is_no_event_are_refused() -> None:
    assert refused(signed(), body=BODY + b" ").reason == "signature"
    for body in (b"[]", b"not json", b'{"id": 1}', b"\xff"):
        assert refused(signed(body=body), body=body).reason == "body"
    other = json.dumps({**EVENT, "id": "evt_2"}).encode()
    assert refused(signed(body=other), body=other).reason == "body", "its id is another than the header's"


def test_a_replay_is_refused_by_its_age_or_its_id() -> None:
    old = signed(at=NOW - 200)
    assert verify(BODY, old, SECRET, now=NOW) == EVENT
    assert refused(old, tolerance_seconds=100).reason == "timestamp"
    seen = SeenEvents()
    assert refused(signed(OTHER), seen=seen).reason == "signature"
    assert verify(BODY, old, SECRET, now=NOW, seen=seen) == EVENT, "what was not genuine has not been noted"
    assert refused(signed(), seen=seen).reason == "replayed"


def test_an_event_that_could_not_be_acted_on_is_let_in_again() -> None:
    seen = SeenEvents()
    assert verify(BODY, signed(), SECRET, now=NOW, seen=seen) == EVENT
    seen.forget(EVENT["id"])
    assert verify(BODY, signed(), SECRET, now=NOW, seen=seen) == EVENT
    assert refused(signed(), seen=seen).reason == "replayed"


def test_a_body_of_undecodable_bytes_is_refused_like_any_other() -> None:
    assert refused(signed(), body="\udc80").reason == "signature"


def test_no_more_ids_are_kept_than_wanted() -> None:
    seen = SeenEvents(most=2)
    assert [seen(id) for id in ("a", "b", "a", "c", "b", "a")] == [False, False, True, False, False, False]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "AAAA", []])
def test_a_secret_that_is_none_is_the_receivers_fault(secret: Any) -> None:
    with pytest.raises(ValueError, match="secret"):
        verify(BODY, signed(), secret, now=NOW)


def test_independent_libraries_agree() -> None:
    """The two that the README shows; each takes one of several signatures too."""
    now = clock.now_seconds()
    for secrets, known in (((SECRET,), SECRET), ((OTHER, SECRET), SECRET), ((OTHER, SECRET), OTHER)):
        headers = signed(*secrets, at=now)
        assert Webhook(known).verify(BODY, headers) == EVENT
        client = OpenAI(api_key="none", base_url="http://127.0.0.1:9", webhook_secret=known)
        assert client.webhooks.unwrap(BODY, headers).id == "evt_1"
    late = signed(at=now - 301)
    for attempt in (
        lambda: Webhook(SECRET).verify(BODY, late),
        lambda: OpenAI(api_key="none", webhook_secret=SECRET).webhooks.unwrap(BODY, late),
        lambda: verify(BODY, late, SECRET),
    ):
        with pytest.raises(Exception, match=r"(?i)old|too"):
            attempt()


def test_the_readme_shows_code_that_runs() -> None:
    """It makes the event three times, once with each library."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = [one for one in re.findall(r"```python\n(.*?)```", text, re.S) if "standardwebhooks" in one]
    imports, *steps = re.split(r"^event = ", block, flags=re.M)
    given: dict[str, Any] = {"SECRET": SECRET, "body": BODY, "headers": signed(at=clock.now_seconds())}
    exec(imports, given)
    events = [eval(step.partition("  #")[0].strip(), given) for step in steps]
    assert events[0] == events[2] == EVENT and events[1].id == EVENT["id"] and len(events) == 3

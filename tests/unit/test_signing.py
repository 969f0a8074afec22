"""Webhook signatures: ours against the independent library, rotation, tampering and replay."""

import base64
import json
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.webhooks import signing

OLD = signing.secret_of(bytes(range(32)))
NEW = signing.secret_of(bytes(range(32, 64)))
BODY = b'{"id":"evt_1","type":"job.completed"}'
NOW = 1_700_000_000

secrets = st.binary(min_size=24, max_size=64).map(signing.secret_of)
event_ids = st.from_regex(r"evt_[0-9a-z]{26}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def signed(body: bytes = BODY, *secrets: str, at: int = NOW) -> dict[str, str]:
    return signing.headers("evt_1", body, at, secrets or (OLD,))


def verified(headers: Mapping[str, str], body: bytes = BODY, secret: str = OLD, now: int = NOW) -> bool:
    return signing.verify(headers, body, secret, now=now)


def test_the_exact_headers() -> None:
    """Computed apart, with openssl: printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_AAEC…"""
    fusionai = "c96db64dcac97ab83cf9a5c23aebfdd84148c3fd17caeb1ff7f359754d7d0025"
    headers = signing.headers("evt_1", b"{}", NOW, [OLD])
    assert headers == {
        "FusionAI-Signature": f"t=1700000000,v1={fusionai}",
        "webhook-id": "evt_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1,bXtchBV0Hi1flm60IFUb87JKA3d/Yvv8UoEjbNotegk=",
    }


@given(secret=secrets, event_id=event_ids, payload=st.dictionaries(texts, texts))
def test_the_independent_library_verifies_ours(secret: str, event_id: str, payload: dict[str, str]) -> None:
    body = json.dumps(payload, ensure_ascii=False).encode()
    headers = signing.headers(event_id, body, int(time.time()), [secret])
    assert Webhook(secret).verify(body, headers) == payload


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_rotation_verifies_with_either_secret_in_both(secret: str) -> None:
    headers = signed(BODY, NEW, OLD, at=int(time.time()))
    assert headers["FusionAI-Signature"].count("v1=") == 2
    assert headers["webhook-signature"].count("v1,") == 2
    assert Webhook(secret).verify(BODY, headers)["id"] == "evt_1"
    assert verified(headers, secret=secret, now=int(time.time()))


def test_after_the_rotation_the_old_secret_is_refused() -> None:
    headers = signed(BODY, NEW, at=int(time.time()))
    assert not verified(headers, secret=OLD, now=int(time.time()))
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, headers)


@given(body=st.binary(), all_secrets=st.lists(secrets, min_size=1, max_size=3), event_id=event_ids)
def test_what_we_sign_verifies(body: bytes, all_secrets: list[str], event_id: str) -> None:
    headers = signing.headers(event_id, body, NOW, all_secrets)
    assert all(signing.verify(headers, body, secret, now=NOW) for secret in all_secrets)


@given(body=st.binary(min_size=1), data=st.data())
def test_a_changed_bit_of_the_body_is_refused(body: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(body) * 8 - 1))
    changed = bytearray(body)
    changed[position // 8] ^= 1 << (position % 8)
    assert not verified(signed(body), bytes(changed))


@given(one=secrets, other=secrets, body=st.binary())
def test_another_secret_is_refused(one: str, other: str, body: bytes) -> None:
    assert verified(signing.headers("evt_1", body, NOW, [one]), body, other) == (one == other)


@pytest.mark.parametrize("name", ["FusionAI-Signature", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(name: str) -> None:
    headers = signed()
    del headers[name]
    assert not verified(headers)


TAMPERED = [
    ("FusionAI-Signature", ""),
    ("FusionAI-Signature", "t=1700000000"),
    ("FusionAI-Signature", "v1=00"),
    ("FusionAI-Signature", "t=1700000000,v1="),
    ("FusionAI-Signature", "t=1700000000,v0={good}"),
    ("FusionAI-Signature", "t=1700000001,v1={good}"),
    ("FusionAI-Signature", "t=1700000000,t=1700000000,v1={good}"),
    ("FusionAI-Signature", "t=+1700000000,v1={good}"),
    ("FusionAI-Signature", "t=1_700_000_000,v1={good}"),
    ("FusionAI-Signature", "t=" + "9" * 5000 + ",v1={good}"),
    ("FusionAI-Signature", "t=١٧٠٠٠٠٠٠٠٠,v1={good}"),
    ("FusionAI-Signature", "t=1700000000,v1=é"),
    ("FusionAI-Signature", "t=1700000000,v1=\udcff"),
    ("webhook-id", "evt_2"),
    ("webhook-id", "\udcff"),
    ("webhook-timestamp", "1700000001"),
    ("webhook-timestamp", "1700000000.5"),
    ("webhook-timestamp", "soon"),
    ("webhook-signature", "v1"),
    ("webhook-signature", "v1,"),
    ("webhook-signature", "v2,{good}"),
    ("webhook-signature", "v1,not base64"),
    ("webhook-signature", "v1a,{good}"),
]


@pytest.mark.parametrize(("name", "value"), TAMPERED)
def test_a_tampered_header_is_refused(name: str, value: str) -> None:
    headers = signed()
    good = headers[name].rpartition("v1=" if name == "FusionAI-Signature" else ",")[2]
    assert verified(headers)
    assert not verified({**headers, name: value.replace("{good}", good)})


@pytest.mark.parametrize("name", ["FusionAI-Signature", "webhook-signature"])
def test_a_good_signature_among_strangers_is_found(name: str) -> None:
    headers = signed()
    other = signed(BODY, NEW)[name].rpartition("," if name == "FusionAI-Signature" else " ")[2]
    joined = f"{headers[name]},{other}" if name == "FusionAI-Signature" else f"v1a,xyz {other} {headers[name]}"
    assert verified({**headers, name: joined})


@pytest.mark.parametrize(("offset", "holds"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_replay_outside_the_tolerance_is_refused(offset: int, holds: bool) -> None:
    assert verified(signed(), now=NOW + offset) is holds


def test_the_tolerance_can_be_chosen() -> None:
    assert signing.verify(signed(), BODY, OLD, now=NOW + 900, tolerance_seconds=900)
    assert not signing.verify(signed(), BODY, OLD, now=NOW + 2, tolerance_seconds=1)


def test_one_stale_time_of_the_two_is_enough_to_refuse() -> None:
    fresh, stale = signed(), signed(at=NOW - 1000)
    assert not verified({**fresh, "FusionAI-Signature": stale["FusionAI-Signature"]})
    assert not verified({**stale, "FusionAI-Signature": fresh["FusionAI-Signature"]})


def test_header_names_in_any_case() -> None:
    assert verified({name.upper(): value for name, value in signed().items()})


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_whsec_and_base64(random: bytes) -> None:
    secret = signing.secret_of(random)
    assert secret.startswith("whsec_")
    assert base64.b64decode(secret.removeprefix("whsec_"), validate=True) == random


@pytest.mark.parametrize("size", [0, 23, 65])
def test_a_secret_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        signing.secret_of(bytes(size))


@pytest.mark.parametrize("secret", ["", "whsec_", "AAECAwQFBgcICQoLDA0ODw==", "whsec_***", "whsec_é", "whsec_A"])
def test_a_malformed_secret_is_an_error_that_does_not_quote_it(secret: str) -> None:
    with pytest.raises(ValueError, match="followed by base64") as raised:
        signing.headers("evt_1", BODY, NOW, [secret])
    assert not secret or secret == "whsec_" or secret not in str(raised.value)


def test_no_secret_no_headers() -> None:
    with pytest.raises(ValueError, match="at least one"):
        signing.headers("evt_1", BODY, NOW, [])

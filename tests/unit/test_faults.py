"""What a provider's error is taken for: fault_bodies.py row by row, our own codes, and bodies that nobody sends."""

import doctest
from typing import Any, get_args

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProviderError
from tests.unit.fault_bodies import BODIES, openai
from workers.upstream import error_codes, faults
from workers.upstream.error_codes import code_of, error_of, message_for_customer, message_of
from workers.upstream.faults import Kind, classify
from workers.upstream.post import refused

IDS = [f"{status}-{code}-{source}" for status, _, code, _, source in BODIES]


def error(status: int, body: Any) -> ProviderError:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return refused(status, httpx.Headers(), content)


@pytest.mark.parametrize(("status", "body", "code", "kind", "source"), BODIES, ids=IDS)
def test_what_a_real_error_is(status: int, body: Any, code: str | None, kind: Kind, source: str) -> None:
    found = error(status, body)
    assert (found.upstream_status, found.code, classify(found)) == (status, code, kind)


@pytest.mark.parametrize(("status", "body", "code", "kind", "source"), BODIES, ids=IDS)
def test_only_the_caller_s_own_faults_are_told_in_the_provider_s_words(
    status: int, body: Any, code: str | None, kind: Kind, source: str
) -> None:
    said = error(status, body).message
    ours = ("the provider answered", "the provider refused our key", "the request is larger than")
    assert said and said.startswith(ours) is (kind not in faults.CALLERS or code == "request_too_large")
    assert "org-x" not in said and "org_x" not in said


#: Our own codes, which have no status, and those of error objects within a 200: (status, code, head, kind)
OURS: list[tuple[int | None, str | None, bool, Kind]] = [
    (None, "connect", False, "unreachable"),
    (None, "first_byte", False, "unreachable"),
    (None, "first_byte", True, "unreachable"),
    (None, "reset", False, "unreachable"),
    (None, "reset", True, "broken"),
    (None, "idle", True, "broken"),
    (None, "timeout", True, "broken"),
    (200, "protocol", True, "broken"),
    (200, "empty", True, "broken"),
    (None, "not_configured", False, "missing"),
    (None, None, False, "broken"),
    (200, None, False, "broken"),
    (None, "insufficient_quota", False, "quota"),
    (None, "rate_limit_exceeded", False, "rate"),
    (None, "overloaded_error", False, "overload"),
    (None, "invalid_request_error", False, "callers"),
    (None, "server_error", False, "broken"),
    (400, "connect", False, "callers"),
    (418, None, False, "missing"),
    (599, None, False, "broken"),
]


@pytest.mark.parametrize(("status", "code", "head", "kind"), OURS)
def test_our_own_codes_and_errors_within_a_200(status: int | None, code: str | None, head: bool, kind: Kind) -> None:
    assert classify(ProviderError("", upstream_status=status, code=code, head=head)) == kind


@pytest.mark.parametrize(
    "words",
    ["your credit balance is too low", "You have reached your specified API usage limits", "request too large for x"],
)
def test_a_caller_s_quoted_words_make_no_provider_look_exhausted(words: str) -> None:
    found = error(400, openai(f"Invalid value: '{words}'", "invalid_request_error", "invalid_value", "stop"))
    assert (found.code, classify(found)) == ("invalid_value", "callers")


def test_a_caller_s_words_change_nothing_of_a_refused_key() -> None:
    found = error(401, openai("prompt is too long", "invalid_request_error", "invalid_api_key"))
    assert classify(found) == "key"


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(
        ["error", "detail", "details", "code", "type", "status", "message", "violations", "reason", "innererror",
         "metadata", "retryDelay", "quotaId"]), inner, max_size=5),
    max_leaves=20,
)), st.sampled_from([None, 400, 401, 413, 429, 500, 503, 599]))  # fmt: skip
def test_no_body_whatever_is_more_than_an_error(body: Any, status: int | None) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    read = error_of(content)
    code = code_of(read, status)
    assert code is None or (isinstance(code, str) and code)
    assert message_for_customer(status, code, message_of(read))
    found = refused(status or 500, httpx.Headers(), content)
    assert classify(found) in get_args(Kind)


@pytest.mark.parametrize("module", [faults, error_codes])
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    assert not doctest.testmod(module).failed

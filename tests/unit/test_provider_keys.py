"""Providers' keys: each shown to its provider once, at the same time; what came of it, and what `up` says."""

import threading

import httpx
import pytest

from fusionai.plain.transport import Transport
from producer.stack import banner, provider_keys
from producer.stack.layout import Layout
from producer.stack.provider_keys import KeyChecks, check_key, masked
from shared import network
from shared.settings import Settings
from shared.submissions import catalogue
from tests.conditions import await_condition
from tests.receiver import Receiver
from workers import app

SOLD = catalogue.load("")
OPENAI, ANTHROPIC, GOOGLE = (SOLD.providers[name] for name in ("openai", "anthropic", "google"))


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in SOLD.providers.values():
        monkeypatch.delenv(provider.key or "NONE", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nonsense")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "accepted"),
        (429, "accepted"),
        (401, "key refused (401)"),
        (403, "key refused (403)"),
        (500, "answered 500; whether the key is accepted is unknown"),
        (None, "could not be reached"),
    ],
)
def test_a_key_is_tried_once(status: int | None, words: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if status is None:
            raise httpx.ConnectTimeout("no")
        return httpx.Response(status)

    assert check_key(OPENAI, transport=httpx.MockTransport(answer)).words == words
    assert check_key(ANTHROPIC, transport=httpx.MockTransport(answer)).words == words
    first, second = seen
    assert str(first.url) == "https://api.openai.com/v1/models"
    assert first.headers["authorization"] == "Bearer sk-nonsense"
    assert second.headers["x-api-key"] == "sk-ant-0123456789" and "authorization" not in second.headers


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("API_KEY_INVALID", "key refused (400)"),
        ("FIELD_INVALID", "answered 400; whether the key is accepted is unknown"),
    ],
)
def test_googles_400_for_a_wrong_key_is_a_refusal(reason: str, words: str) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    error = {"code": 400, "message": "…", "status": "INVALID_ARGUMENT", "details": [info]}
    way = httpx.MockTransport(lambda request: httpx.Response(400, json={"error": error}))
    assert check_key(GOOGLE, transport=way).words == words


def test_a_key_goes_in_the_header_of_the_protocol_or_of_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-0123456789")
    monkeypatch.setenv("OWN_API_KEY", "own-0123456789")
    given = {"key": "OWN_API_KEY", "base_url": "https://own.example/v1"}
    rows = {"protocol": "openai", "key_header": "api-key"}, {"protocol": "anthropic"}, {"protocol": "openai"}
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200)

    for provider in (GOOGLE, *(catalogue.Provider.model_validate({"name": "own", **given, **row}) for row in rows)):
        assert check_key(provider, transport=httpx.MockTransport(answer)).finding == "accepted"
    carried = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
    assert [{name: headers[name] for name in carried if name in headers} for headers in seen] == [
        {"x-goog-api-key": "AIza-0123456789"},
        {"api-key": "own-0123456789"},
        {"x-api-key": "own-0123456789"},
        {"authorization": "Bearer own-0123456789"},
    ]


def test_trials_are_made_at_the_same_time_and_nobody_waits() -> None:
    both, go = threading.Barrier(3), threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        both.wait(10)
        go.wait(10)
        return httpx.Response(401)

    checks = KeyChecks(provider_keys.with_key(SOLD), transport=httpx.MockTransport(answer))
    both.wait(10)
    assert not checks.over and checks.found(OPENAI) is None
    assert any("not checked yet" in line for line in said(checks))
    go.set()
    await_condition(lambda: checks.over)


def said(checks: KeyChecks, *, simulated: bool = True, **given: object) -> list[str]:
    own = Settings(**given)  # type: ignore[arg-type]
    return list(banner.providers(own, at(SOLD, simulated=simulated), SOLD, checks))


def at(rows: catalogue.Catalogue, *, simulated: bool = True) -> Layout:
    away = [one for one in provider_keys.without_key(rows) if one.simulated_path] if simulated else ()
    return Layout("127.0.0.1", 8000, 5555, None, 2, "", "", "", tuple(away))


def test_up_says_whom_the_calls_go_to() -> None:
    checks = KeyChecks(provider_keys.with_key(SOLD), transport=httpx.MockTransport(lambda request: httpx.Response(401)))
    await_condition(lambda: checks.over)
    lines = said(checks)
    assert lines[0] == "  REAL       openai (OPENAI_API_KEY sk-…nse): key refused (401)"
    assert lines[1] == "             anthropic (ANTHROPIC_API_KEY sk-…789): key refused (401)"
    others = ", ".join(one for one in SOLD.queued if one not in ("openai", "anthropic", catalogue.SANDBOX))
    assert "google" in others
    shown = " ".join(" ".join(lines[2:]).split())
    assert shown.startswith(f"SIMULATED a local simulator answers for: {others} To call")
    assert max(map(len, lines)) < 80
    production = {"environment": "production", "key_secret": "x" * 32, "database_url": "postgresql://db/f"}
    lines = said(checks, simulated=False, **production)
    assert " ".join(" ".join(lines[2:-1]).split()) == f"NO KEY {others}: their models answer 502"
    assert "FUSIONAI_REDIS_URL and FUSIONAI_BROKER_URL" in lines[-1]
    urls = {f"{name}_url": "redis://redis/0" for name in ("redis", "broker")}
    assert said(checks, simulated=False, **production, **urls) == lines[:-1]


def test_up_names_the_variable_without_which_a_model_cannot_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    row = 'type = "chat.completion"\nupstream = "u"\npurpose = ""\ninput = 1\noutput = 1\nmax_output = 1\n'
    own = [f'[models.{name}]\nprovider = "{name}"\n{row}' for name in ("vllm", "groq", "mine")]
    mine = '[providers.mine]\nprotocol = "openai"\n'
    with_rows = catalogue.read("".join(own) + mine)
    lines = list(banner.providers(Settings(), at(with_rows), with_rows, KeyChecks([])))
    assert lines[-3:] == [
        "  NO KEY     groq: their models answer 502",
        "  NO URL     vllm: set VLLM_BASE_URL; its models answer 502",
        "  NO URL     mine: set FUSIONAI_PROVIDER_MINE_URL; its models answer 502",
    ]
    monkeypatch.setenv("VLLM_BASE_URL", "http://localhost:9")
    lines = list(banner.providers(Settings(), at(with_rows), with_rows, KeyChecks([])))
    assert "  LOCAL      vllm (http://localhost:9/v1), without a key" in lines and "NO URL     vllm" not in str(lines)


def test_up_says_which_proxy_is_used_and_not_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "api.anthropic.com")
    network.routes.cache_clear()
    try:
        checks = KeyChecks(provider_keys.with_key(SOLD), transport=httpx.MockTransport(refused))
        await_condition(lambda: checks.over)
        lines = said(checks)
        assert lines[0].endswith(": could not be reached through the proxy proxy.example:3128")
        assert lines[1].endswith(": could not be reached")
        assert lines[2] == "  PROXY      http://me:***@proxy.example:3128 (HTTPS_PROXY) for openai"
        assert app.proxy_lines() == [
            "openai is called through the proxy http://me:***@proxy.example:3128 (HTTPS_PROXY)"
        ]
    finally:
        network.routes.cache_clear()


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no")


def test_the_commands_own_calls_of_this_machine_go_past_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    network.routes.cache_clear()
    try:
        with Receiver() as server, Transport(server.url, "fusionai_test_x", retries=0) as caller:
            caller.post("/", {})
            assert server.connections == 1
    finally:
        network.routes.cache_clear()


@pytest.mark.parametrize(("key", "shown"), [("sk-nonsense", "sk-…nse"), ("short", "…"), ("", "…")])
def test_a_key_is_never_shown_whole(key: str, shown: str) -> None:
    assert masked(key) == shown

"""Keys of providers, in each header that one has, through the whole system: in no row, Redis value, log or answer.

The provider is a simulator that counts as the real one, and repeats the key that it is called with.
"""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.acceptance.stack import Account, Stack, own_stack
from tests.everywhere import check_nowhere
from tests.providers.zoo import repeats
from tests.servers import RedisServer
from workers.simulator.server import SimulatorProcess

CANARY: Final = "canary-4e8a-0123456789"
DEPLOYED: Final = """
[models.ours]
type = "chat.completion"
provider = "azure"
upstream = "my-deployment"
purpose = "Ours"
input = 1_000_000
output = 1_000_000
max_output = 4096
"""
#: A model by the header that its provider's key goes in.
MODELS: Final = {
    "authorization": "gpt-4.1",
    "x-api-key": "claude-3-opus",
    "x-goog-api-key": "gemini-pro",
    "api-key": "ours",
}
REPEATS: Final = repeats(CANARY)
#: Where the key is repeated after an answer that is whole.
ANSWERED: Final = "after a stream"


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as running:
        yield running


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    started = RedisServer().start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, server: SimulatorProcess, redis: RedisServer) -> Iterator[Stack]:
    """A stack that calls the simulator as if it were the providers."""
    directory = tmp_path_factory.mktemp("canary")
    (directory / "own.toml").write_text(DEPLOYED)
    environment = {
        "OPENAI_API_KEY": f"sk-{CANARY}",
        "ANTHROPIC_API_KEY": f"sk-ant-{CANARY}",
        "GEMINI_API_KEY": f"AIza-{CANARY}",
        "AZURE_OPENAI_API_KEY": f"az-{CANARY}",
        "FUSIONAI_PROVIDER_OPENAI_URL": f"{server.url}/openai/v1",
        "FUSIONAI_PROVIDER_ANTHROPIC_URL": f"{server.url}/anthropic/v1",
        "FUSIONAI_PROVIDER_GOOGLE_URL": f"{server.url}/google/v1beta",
        "AZURE_OPENAI_ENDPOINT": f"{server.url}/azure?api-version=preview&subscription-key=query-{CANARY}",
    }
    catalogue = str(directory / "own.toml")
    with own_stack(directory, redis, environment=environment, CATALOGUE=catalogue, LOG_LEVEL="DEBUG") as running:
        yield running


def rule(name: str, order: Any) -> dict[str, Any]:
    return {"contains": f"fault {name}.", "fault": order}


def keys(header: str) -> list[str]:
    prefix = {"authorization": "sk", "x-api-key": "sk-ant", "x-goog-api-key": "AIza", "api-key": "az"}[header]
    return [f"{prefix}-{CANARY}", *([f"query-{CANARY}"] if header == "api-key" else [])]


@pytest.mark.parametrize("header", MODELS)
def test_a_key_that_its_provider_repeats_is_nowhere(
    stack: Stack, account: Account, server: SimulatorProcess, redis: RedisServer, header: str
) -> None:
    shown: list[str] = []
    ids = []
    for key in keys(header):
        rules = [rule(name, order) for name, order in repeats(key).items()]
        httpx.post(f"{server.url}/_simulator/script", json={"rules": rules}).raise_for_status()
        for stream in (True, False):
            for name in sorted(REPEATS, key=lambda name: name != ANSWERED):
                messages = [{"role": "user", "content": f"fault {name}. Hello"}]
                body = {"type": "chat.completion", "model": MODELS[header], "messages": messages, "max_tokens": 50}
                ids.append(account.submit({**body, "stream": stream})["id"])
                if name == ANSWERED:  # before a refused key has the provider's calls wait
                    account.finished(ids[-1])
        jobs = [account.live.get(f"/jobs/{id}", params={"wait": 30}) for id in ids]
        assert all(job.json()["finished_at"] for job in jobs)
        shown += [job.text + str(dict(job.headers)) for job in jobs]
        shown += [account.live.get(f"/jobs/{id}/stream").text for id in ids]
        messages = [{"role": "user", "content": "fault 400. Hello"}]
        answer = account.live.post("/chat/completions", json={"model": MODELS[header], "messages": messages})
        shown.append(answer.text + str(dict(answer.headers)))
    assert any('"succeeded"' in text for text in shown) and any('"failed"' in text for text in shown)
    assert any("[key]" in text for text in shown), "the provider did repeat it, and it was hidden"
    check_nowhere(CANARY, stack.database, redis.url, stack.log.read_text(errors="replace"), *shown)
    assert stack.violations() == []

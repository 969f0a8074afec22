"""An operator's own models: a server without a key works with one row, as Azure does with its header; prices reload."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.acceptance.stack import Account, Stack, own_stack
from tests.conditions import await_condition
from workers.simulator.server import SimulatorProcess

HI: list[Any] = [{"role": "user", "content": "hi"}]
ROW = """
[models.{name}]
type = "chat.completion"
provider = "{provider}"
upstream = "{upstream}"
purpose = "Ours"
input = {price}
output = {price}
max_output = 4096
context = 32_768
capabilities = []
"""
LLAMA = ROW.format(name="llama", provider="vllm", upstream="meta-llama/Llama-4", price=1_000_000)
DEPLOYED = ROW.format(name="ours", provider="azure", upstream="my-deployment", price=1_000_000)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "own.toml"
    path.write_text(LLAMA + DEPLOYED)
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Iterator[Stack]:
    """A stack whose one file of rows of its own is `file`, and a server that speaks OpenAI's protocol."""
    with SimulatorProcess() as server:
        environment = {
            "VLLM_BASE_URL": f"{server.url}/vllm",
            "AZURE_OPENAI_ENDPOINT": f"{server.url}/azure/",
            "AZURE_OPENAI_API_KEY": "azure-key",
        }
        with own_stack(tmp_path_factory.mktemp("own"), environment=environment, CATALOGUE=str(file)) as running:
            yield running


def chat(account: Account, **changes: Any) -> Any:
    return account.live.post("/chat/completions", json={"model": "llama", "messages": HI, "max_tokens": 20, **changes})


@pytest.mark.parametrize("model", ["llama", "ours"])
def test_one_row_is_enough_for_a_server_of_one_s_own(account: Account, model: str) -> None:
    answer = chat(account, model=model)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model and answer.json()["choices"][0]["message"]["content"]
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as client:
        streamed = client.chat.completions.create(model=model, messages=HI, stream=True)
        assert "".join(one.choices[0].delta.content or "" for one in streamed if one.choices)


def test_it_is_listed_with_what_it_can_do_and_a_provider_that_is_nowhere_is_not(account: Account) -> None:
    listed = {one["id"]: one for one in account.live.get("/models").json()["data"]}
    assert (listed["llama"]["provider"], listed["llama"]["context_tokens"], listed["llama"]["capabilities"]) == (
        "vllm",
        32_768,
        [],
    )
    assert listed["gpt-4"]["capabilities"] == ["vision", "tools", "json_schema", "reasoning"]
    assert "text-embedding-3-large" in listed and not {"groq", "ollama"} & {one["provider"] for one in listed.values()}


def test_what_it_cannot_do_is_a_400_when_it_is_asked_for(account: Account) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    refused = chat(account, tools=[tool])
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "tools"
    assert "tools are not supported by llama" in refused.json()["error"]["message"]
    assert chat(account, model="gpt-4", tools=[tool]).status_code == 200


def test_a_price_that_the_file_changes_is_that_of_later_jobs_without_a_restart(account: Account, file: Path) -> None:
    before = chat(account).json()["usage"]
    file.write_text(LLAMA.replace("1000000", "3000000") + DEPLOYED)

    def price() -> int:
        return int(account.live.get("/models/llama").json()["price"]["input"])

    await_condition(lambda: price() == 3_000_000, what="the new price")
    after = chat(account).json()["usage"]
    assert after["prompt_tokens"] == before["prompt_tokens"]
    assert after["credits_used"] == pytest.approx(3 * before["credits_used"], abs=2e-6)
    file.write_text("[models.llama]\ncolour = 1\n")
    assert chat(account).json()["usage"]["credits_used"] == after["credits_used"]
    assert price() == 3_000_000, "a file that cannot be used changes nothing"

"""OpenAI's Responses API with the official SDK, over a running stack; only base URL and key are ours."""

import httpx
from openai import OpenAI

from tests import contract
from tests.acceptance.stack import Account

STORY = "Write a one-sentence bedtime story about a unicorn."


def client(account: Account, key: str = "") -> OpenAI:
    """The SDK as its users make it."""
    return OpenAI(base_url=account.stack.url + "/v1", api_key=key or account.live_key, max_retries=0)


def get(account: Account, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {account.live_key}"}
    return httpx.get(f"{account.stack.url}/v1/responses{path}", headers=headers, timeout=40, trust_env=False)


def test_a_text_is_answered_and_retrieved(account: Account) -> None:
    with client(account) as sdk:
        made = sdk.responses.create(
            model="gpt-4",
            input=STORY,
            instructions="Be brief.",
            max_output_tokens=300,
            temperature=0.5,
            metadata={"order": "7"},
        )
        again = sdk.responses.retrieve(made.id)
    assert made.object == "response" and made.status == "completed" and made.output_text
    assert (made.instructions, made.max_output_tokens, made.temperature) == ("Be brief.", 300, 0.5)
    assert made.metadata == {"order": "7"} and made.error is None and made.incomplete_details is None
    assert made.usage is not None and made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
    assert made.usage.input_tokens_details.cached_tokens >= 0 <= made.usage.output_tokens_details.reasoning_tokens
    assert made.model_dump() == again.model_dump()
    job = account.live.get(f"/jobs/{made.id.replace('resp_', 'job_')}").json()
    assert job["status"] == "succeeded" and job["ignored"] == ["temperature"]
    contract.check("GET", "/v1/responses/{response_id}", get(account, f"/{made.id}"))

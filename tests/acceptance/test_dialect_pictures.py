"""A picture that the orchestrator made is paid for, so an answer in any dialect has it, or says where it is."""

from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from tests.acceptance.stack import Account

MODEL, WANTED = "euqai-fusion-v1", "generate an image of a cat"


def test_a_response_has_it_as_an_item_streamed_or_not(account: Account) -> None:
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as sdk:
        made = sdk.responses.create(model=MODEL, input=WANTED)
        found = list(sdk.responses.create(model=MODEL, input=WANTED, stream=True))
        last = found[-1]
        assert last.type == "response.completed"
        for response in (made, last.response):
            (item,) = response.output
            assert item.type == "image_generation_call" and item.status == "completed" and item.result
        added = [one for one in found if one.type in ("response.output_item.added", "response.output_item.done")]
        assert [one.output_index for one in added] == [0, 0] and added[-1].item == last.response.output[0]
        given: Any = [{"role": "user", "content": WANTED}, *made.output, {"role": "user", "content": "Thanks."}]
        again = sdk.responses.create(model="gpt-4", input=given)
        further = sdk.responses.create(model="gpt-4", input="Thanks.", previous_response_id=made.id)
        named: Any = [{"type": "item_reference", "id": made.output[0].id}, {"role": "user", "content": "Thanks."}]
        referring = sdk.responses.create(model="gpt-4", input=named)
    assert again.output_text and further.output_text and referring.output_text


def test_a_message_says_where_it_is_streamed_or_not(account: Account) -> None:
    asked: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": WANTED}]}
    with Anthropic(base_url=account.stack.url, api_key=account.live_key, max_retries=0) as sdk:
        made = sdk.messages.create(**asked)
        with sdk.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
    for message in (made, streamed):
        (block,) = message.content
        job = message.id.replace("msg_", "job_")
        assert block.type == "text" and block.text.endswith(f"GET /v1/jobs/{job}")
        result = account.live.get(f"/jobs/{job}").json()["result"]
        assert result["choices"][0]["message"]["images"][0]["image_url"]["url"].startswith("data:image/png;base64,")

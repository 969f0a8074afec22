"""Reasoning that is sent back where nothing is stored: `encrypted_content` of responses, with the official SDK."""

from typing import Any

import pytest

from shared.dialects.responses import sealing
from tests.acceptance.stack import Account
from tests.acceptance.test_responses import TOOL, client
from tests.acceptance.test_sdk_requests import calls

CLAUDE: Any = "claude-haiku-4-5"
NEXT: Any = {"role": "user", "content": "And?"}
ASK: Any = {
    "max_output_tokens": 3000,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto"},
}


def answered(sdk: Any, streamed: bool, **asked: Any) -> tuple[Any, list[Any]]:
    """A response; and the items of its output as they ended in its stream."""
    if not streamed:
        made = sdk.responses.create(**{**ASK, **asked})
        return made, list(made.output)
    events = list(sdk.responses.create(**{**ASK, **asked}, stream=True))
    return events[-1].response, [event.item for event in events if event.type == "response.output_item.done"]


def ignored(account: Account) -> list[str]:
    """What of the newest request no provider was sent."""
    return list(account.live.get("/jobs", params={"limit": 1}).json()["data"][0].get("ignored") or ())


@pytest.mark.parametrize("streamed", [False, True])
def test_signed_thoughts_go_back_unread(account: Account, streamed: bool) -> None:
    with client(account) as sdk:
        made, ended = answered(sdk, streamed, model=CLAUDE, input="Hello.")
        assert [item.type for item in made.output] == [item.type for item in ended] == ["reasoning", "message"]
        thought = made.output[0]
        assert thought.summary[0].text and sealing.unsealed(thought.encrypted_content)[0][0]["signature"]
        assert ended[0].to_dict() == thought.to_dict()
        bare = {"type": "reasoning", "summary": [], "encrypted_content": thought.encrypted_content}
        for back in (thought.to_dict(), bare):
            items: Any = [{"role": "user", "content": "Hello."}, back, made.output[1].to_dict()]
            more, _ = answered(sdk, streamed, model=CLAUDE, input=[*items, NEXT])
            assert more.status == "completed"
            assert not any("thinking_blocks" in path for path in ignored(account))
        forged = sealing.sealed({"thinking_blocks": [{"type": "thinking", "thinking": "No.", "signature": "EqsB"}]})
        items[1] = {"type": "reasoning", "summary": [], "encrypted_content": forged}
        more, _ = answered(sdk, streamed, model=CLAUDE, input=[*items, NEXT])
        assert more.status == "completed" and any("thinking_blocks" in path for path in ignored(account))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reasoning", [ASK["reasoning"], None])
def test_a_signature_of_a_call_goes_back_with_it(account: Account, streamed: bool, reasoning: Any) -> None:
    question: Any = {"role": "user", "content": "Weather in Rome?"}
    asked: Any = {"model": "gemini-pro", "tools": [TOOL], "reasoning": reasoning}
    with client(account) as sdk:
        made, ended = answered(sdk, streamed, input=[question], tool_choice="required", **asked)
        assert [item.type for item in made.output] == ["reasoning", "function_call"]
        assert [item.to_dict() for item in ended] == [item.to_dict() for item in made.output]
        thought, call = made.output
        assert call.call_id in sealing.unsealed(thought.encrypted_content)[2]
        answer: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        items: Any = [question, *(item.to_dict() for item in made.output), answer]
        more, _ = answered(sdk, streamed, input=items, **asked)
        assert more.status == "completed" and not any("extra_content" in path for path in ignored(account))


def test_a_thought_that_is_referred_to_goes_back_signed(account: Account) -> None:
    asked: Any = {"model": CLAUDE, "max_output_tokens": 3000, "reasoning": ASK["reasoning"]}
    with client(account) as sdk, account.stack.script():
        first = sdk.responses.create(input="Hello.", **asked)
        named: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
        second = sdk.responses.create(input=[{"role": "user", "content": "Hello."}, *named, NEXT], **asked)
        job = account.live.get(f"/jobs/{first.id.replace('resp_', 'job_')}").json()
        (block,) = job["result"]["choices"][0]["message"]["thinking_blocks"]
        assert calls(account.stack, block["signature"]) == 1
    assert len(named) == 2 and second.status == "completed"


def test_what_another_server_has_sealed_is_passed_over(account: Account) -> None:
    with client(account) as sdk:
        foreign: Any = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo"}
        said: Any = {"role": "assistant", "content": "Hello."}
        items = [{"role": "user", "content": "Hello."}, foreign, said, {"role": "user", "content": "And?"}]
        made, _ = answered(sdk, False, model="gpt-4", input=items)
        plain = sdk.responses.create(model=CLAUDE, input="Hello.", reasoning={"effort": "low"})
    assert made.status == "completed"
    assert all(item.encrypted_content is None for item in plain.output if item.type == "reasoning")

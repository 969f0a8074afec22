"""Items that clients of the Responses API send again: as they came, or by reference; with the official SDK."""

from typing import Any

import openai
import pytest

from shared import accounts
from tests.acceptance.stack import Account
from tests.acceptance.test_responses import TOOL, client, get

ASK: Any = {"model": "gpt-4", "tools": [TOOL]}


def text_of(text: str) -> dict[str, str]:
    return {"type": "input_text", "text": text}


def given_to(account: Account, response_id: str) -> list[Any]:
    """What the model was given, as it is told."""
    shown = get(account, f"/{response_id}/input_items?order=asc&limit=100")
    return [{name: value for name, value in item.items() if name != "id"} for item in shown.json()["data"]]


def test_items_are_referred_to_by_their_ids(account: Account) -> None:
    with client(account) as sdk:
        first = sdk.responses.create(input="Weather in Rome?", tool_choice="required", **ASK)
        (call,) = first.output
        (question,) = sdk.responses.input_items.list(first.id).data
        answer: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}  # type: ignore[union-attr]
        named: Any = [{"type": "item_reference", "id": question.id}, {"id": call.id}, answer]
        second = sdk.responses.create(input=named, **ASK)
        written: Any = [{"role": "user", "content": [text_of("Weather in Rome?")]}, call.to_dict(), answer]
        whole = sdk.responses.create(input=written, **ASK)
        said: Any = {"type": "item_reference", "id": second.output[-1].id}
        third = sdk.responses.create(input=[said, {"role": "user", "content": "And tomorrow?"}], **ASK)
    assert second.output_text == whole.output_text != ""
    assert given_to(account, second.id) == given_to(account, whole.id)
    assert given_to(account, third.id)[0]["content"][0]["text"] == second.output_text


def test_an_item_that_is_not_kept_or_not_ones_own_is_not_found(account: Account) -> None:
    other = account.stack.account()
    with client(account, other.live_key) as sdk:
        foreign = sdk.responses.create(model="gpt-4", input="Hello.").output[0].id
    with client(account) as sdk:
        hidden = sdk.responses.create(model="gpt-4", input="Hello.", store=False).output[0].id
        made = sdk.responses.create(model="gpt-4", input="Hello.")
        sdk.responses.delete(made.id)
        for id in (foreign, hidden, made.output[0].id, "msg_0", "rs_nonsense", "x" * 300):
            with pytest.raises(openai.BadRequestError) as wrong:
                more: Any = [{"role": "user", "content": "Go on."}, {"type": "item_reference", "id": id}]
                sdk.responses.create(model="gpt-4", input=more)
            assert wrong.value.param == "input[1].id" and "not found" in wrong.value.message
    other.close()


def test_an_output_is_an_input_as_agents_send_it(account: Account) -> None:
    """As the Agents SDK does at each turn: every item of the output, with all fields that it came with."""
    items: list[Any] = [{"role": "user", "content": "Weather in Rome, then in Oslo?"}]
    with client(account) as sdk:
        for choice in ("required", "auto"):
            made = sdk.responses.create(
                input=items,
                instructions="You are a helpful agent.",
                include=["reasoning.encrypted_content"],
                store=False,
                tool_choice=choice,  # type: ignore[arg-type]
                parallel_tool_calls=False,
                reasoning={"effort": "low", "summary": "auto"},
                truncation="auto",
                **ASK,
            )
            items += [item.to_dict(mode="json") for item in made.output]
            items += [
                {
                    "type": "function_call_output",
                    "call_id": item.call_id,
                    "output": [text_of("sunny")],
                }
                for item in made.output
                if item.type == "function_call"
            ]
    assert made.output_text and [item.get("type") for item in items] == [
        None, "function_call", "function_call_output", "message",
    ]  # fmt: skip


def test_likelihoods_are_told(account: Account) -> None:
    with client(account, account.test_key) as sdk:
        for more in ({"top_logprobs": 2}, {"include": ["message.output_text.logprobs"], "top_logprobs": 2}):
            made = sdk.responses.create(model="gpt-4", input="Hello.", **more)  # type: ignore[call-overload]
            text = made.output[-1].content[0]
            assert "".join(one.token for one in text.logprobs) == text.text and made.top_logprobs == 2
            assert all(len(one.top_logprobs) == 1 and one.bytes == [*one.token.encode()] for one in text.logprobs)
        plain: Any = sdk.responses.create(model="gpt-4", input="Hello.").output[-1]
        assert plain.content[0].logprobs == []
        found = sdk.responses.input_items.list(made.id, include=["message.output_text.logprobs"])
        assert len(found.data) == 1
        sdk.responses.retrieve(made.id, include=["message.output_text.logprobs"])


def test_the_tokens_of_an_input_are_estimated(account: Account) -> None:
    with client(account) as sdk:
        first = sdk.responses.create(model="gpt-4", input="A question of a few words.")
        alone = sdk.responses.input_tokens.count(model="gpt-4", input="And now?")
        after = sdk.responses.input_tokens.count(
            model="gpt-4", input="And now?", previous_response_id=first.id, tools=[TOOL], instructions="Be brief."
        )
        assert alone.object == "response.input_tokens" and 0 < alone.input_tokens < after.input_tokens
        for wrong in ({"model": "no-such-model"}, {"stream": True}, {"previous_response_id": "resp_0"}):
            with pytest.raises(openai.BadRequestError) as refused:
                sdk.responses.input_tokens.count(**{"model": "gpt-4", "input": "Hi", "extra_body": wrong})  # type: ignore[arg-type]
            assert refused.value.param == next(iter(wrong))


def test_what_would_be_kept_on_the_server_is_refused_in_words(account: Account) -> None:
    account.stack.write(accounts.set_unknown_fields, account.id, "ignore")
    with client(account) as sdk:
        for name, value in {"conversation": "conv_1", "prompt": {"id": "pmpt_1"}}.items():
            with pytest.raises(openai.BadRequestError) as wrong:
                sdk.responses.create(model="gpt-4", input="Hello.", **{name: value})  # type: ignore[call-overload]
            assert wrong.value.param == name and f"{name}: not supported; send" in wrong.value.message
        made = sdk.responses.create(
            model="gpt-4",
            input="Hello.",
            context_management=[{"type": "compaction"}],
            reasoning={"context": "auto"},
            conversation=None,
        )
    ignored = account.live.get(f"/jobs/{made.id.replace('resp_', 'job_')}").json()["ignored"]
    assert {"context_management", "reasoning.context"} <= set(ignored)

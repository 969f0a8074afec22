"""A coding agent's recorded session, replayed with the official SDK against Claude, GPT and Gemini models."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import orjson
import pytest
from anthropic.tools import BetaLocalFilesystemMemoryTool
from pydantic import BaseModel

from tests.acceptance import agent_session as agent
from tests.acceptance.stack import Account
from tests.acceptance.test_messages import ASKING, HELLO, WEATHER

#: A model of each protocol.
MODELS = ("claude-opus-5-5", "gpt-5.1", "gemini-pro")
#: What of turns says how they are to be kept or shown, for providers that know such a thing; and thoughts as text,
#: which Gemini does not take back: it signs its calls.
HINTS = ("cache_control", "is_error", "reasoning_content")
Ask = Callable[..., Any]


class Plan(BaseModel):
    """A form of an answer, with a field that may be left out."""

    title: str
    days: int | None = None


def client(account: Account, **more: Any) -> anthropic.Anthropic:
    """The official client as an agent makes it, with its headers."""
    given = {"base_url": account.stack.url, "api_key": None, "auth_token": account.live_key, "max_retries": 0}
    return anthropic.Anthropic(default_headers=agent.HEADERS, **{**given, **more})


@pytest.fixture
def claude(account: Account) -> Iterator[anthropic.Anthropic]:
    with client(account) as made:
        yield made


def whole(claude: anthropic.Anthropic, **asked: Any) -> Any:
    """Unstreamed."""
    return claude.beta.messages.create(**asked)


def streamed(claude: anthropic.Anthropic, **asked: Any) -> Any:
    """Put together of events, as agents read them."""
    with claude.beta.messages.stream(**asked) as stream:
        return stream.get_final_message()


def in_async(claude: anthropic.Anthropic, **asked: Any) -> Any:
    """Streamed by the async client."""

    async def main() -> Any:
        given: Any = {"base_url": claude.base_url, "auth_token": claude.auth_token, "api_key": None}
        async with anthropic.AsyncAnthropic(**given) as made:
            async with made.beta.messages.stream(**asked) as stream:
                return await stream.get_final_message()

    return asyncio.run(main())


def replay(ask: Ask, claude: anthropic.Anthropic, model: str, salt: str) -> tuple[list[Any], list[Any]]:
    """Every request of the session, its history made of our answers: the answers, and the last request's turns."""
    turns: list[dict[str, Any]] = []
    answers = []
    for text, pictures, given, failed in agent.STEPS:
        turns.append(agent.typed(text, *pictures))
        answers.append(ask(claude, **agent.asked(model, salt, turns)))
        assert answers[-1].stop_reason == "tool_use", answers[-1]
        (call,) = [block for block in answers[-1].content if block.type == "tool_use"]
        turns.append({"role": "assistant", "content": answers[-1].to_dict()["content"]})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": given}
        turns.append({"role": "user", "content": [result | ({"is_error": True} if failed else {})]})
        answers.append(ask(claude, **agent.asked(model, salt, turns)))
        assert answers[-1].stop_reason == "end_turn" and answers[-1].content[-1].type == "text"
        turns.append({"role": "assistant", "content": answers[-1].to_dict()["content"]})
    return answers, turns


@pytest.mark.parametrize("ask", [whole, streamed, in_async])
@pytest.mark.parametrize("model", MODELS)
def test_the_session_runs_to_its_end(account: Account, claude: anthropic.Anthropic, model: str, ask: Ask) -> None:
    answers, _ = replay(ask, claude, model, account.id)
    jobs = list(reversed(account.live.get("/jobs?limit=100").json()["data"]))
    assert [job["status"] for job in jobs] == ["succeeded"] * len(answers) == ["succeeded"] * 8
    for answer, job in zip(answers, jobs, strict=True):
        used = answer.usage
        read, written = used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0
        assert used.input_tokens + read + written == job["usage"]["prompt_tokens"]
        assert used.output_tokens == job["usage"]["completion_tokens"]
        assert {"system[0]", "context_management", "tools[0].eager_input_streaming"} <= set(job["ignored"])
        lost = [path for path in job["ignored"] if path.startswith("messages") and not path.endswith(HINTS)]
        assert lost == [], "what was said before is not lost"


@pytest.mark.parametrize("ask", [whole, streamed])
def test_each_request_finds_all_that_the_one_before_it_left_in_the_cache(
    account: Account, claude: anthropic.Anthropic, ask: Ask
) -> None:
    """What was read and written is what the next one reads: the history goes back to the provider as it came."""
    answers, _ = replay(ask, claude, "claude-opus-5-5", account.id)
    used = [answer.usage for answer in answers]
    assert used[0].cache_creation_input_tokens > 20_000 and not used[0].cache_read_input_tokens
    for before, after in itertools.pairwise(used):
        kept = (before.cache_read_input_tokens or 0) + (before.cache_creation_input_tokens or 0)
        assert after.cache_read_input_tokens >= kept > 20_000 > after.cache_creation_input_tokens * 20
    if ask is whole:
        hours = [one.cache_creation.ephemeral_1h_input_tokens for one in used]
        assert hours[0] > 20_000 and set(hours[1:]) == {0}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ask", [whole, streamed])
def test_a_history_of_two_hundred_turns(account: Account, claude: anthropic.Anthropic, model: str, ask: Ask) -> None:
    turns = [*agent.history(200), agent.typed("Go on with ReadFile")]
    answer = ask(claude, **agent.asked(model, account.id, turns))
    assert answer.stop_reason == "tool_use"
    counted = claude.beta.messages.count_tokens(**_counted(agent.asked(model, account.id, turns))).input_tokens
    used = answer.usage
    read, written = used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0
    assert used.input_tokens + read + written > 20_000
    assert counted > 20_000


def _counted(asked: dict[str, Any]) -> dict[str, Any]:
    """The same without what is not counted."""
    return {name: value for name, value in asked.items() if name not in ("max_tokens", "metadata")}


def test_what_an_agent_asks_beside_the_session(account: Account, claude: anthropic.Anthropic) -> None:
    """A probe of one token, a title in JSON of a small model, a forced call, and no call at all."""
    probe = claude.beta.messages.create(
        model="claude-haiku-4-5", max_tokens=1, messages=[{"role": "user", "content": "quota"}], betas=agent.BETAS
    )
    assert (probe.stop_reason, probe.usage.output_tokens) == ("max_tokens", 1)
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    for name in ("output_config", "output_format"):
        form: Any = {"type": "json_schema", "schema": schema}
        titled = claude.beta.messages.create(
            model="claude-haiku-4-5",
            max_tokens=500,
            messages=[{"role": "user", "content": "Fix the bug in main.py"}],
            extra_body={name: {"format": form} if name == "output_config" else form},
        )
        assert isinstance(orjson.loads(titled.content[0].text)["title"], str)  # type: ignore[union-attr]
    asked: Any = {"max_tokens": 900, "tools": agent.TOOLS[:2], "messages": [{"role": "user", "content": "ReadFile it"}]}
    for model in ("claude-haiku-4-5", "gpt-5.1", "gemini-pro"):
        for choice, calls in (
            ({"type": "tool", "name": "RunShell", "disable_parallel_tool_use": True}, ["RunShell"]),
            ({"type": "any", "disable_parallel_tool_use": True}, ["ReadFile"]),
            ({"type": "auto"}, ["ReadFile"]),
            ({"type": "none"}, []),
        ):
            answer = claude.messages.create(model=model, tool_choice=choice, **asked)  # type: ignore[call-overload]
            assert [block.name for block in answer.content if block.type == "tool_use"] == calls, (model, choice)


@pytest.mark.parametrize("model", MODELS)
def test_the_sdks_own_tools_are_run_by_any_model(claude: anthropic.Anthropic, model: str, tmp_path: Path) -> None:
    """Of a type whose schema Anthropic's models know; and an answer in a form of the caller's."""
    runner = claude.beta.messages.tool_runner(
        model=model,
        max_tokens=2000,
        tools=[BetaLocalFilesystemMemoryTool(base_path=str(tmp_path))],
        messages=[{"role": "user", "content": "Look into your memory"}],
    )
    assert [answer.stop_reason for answer in runner] == ["tool_use", "end_turn"]
    bash: Any = {"type": "bash_20250124", "name": "bash"}
    answer = claude.messages.create(
        model=model, max_tokens=2000, tools=[bash], messages=[{"role": "user", "content": "bash: list all"}]
    )
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert call.name == "bash" and isinstance(call.input, dict)
    planned: Any = claude.messages.parse(
        model=model, max_tokens=2000, messages=[{"role": "user", "content": "Plan it"}], output_format=Plan
    )
    assert isinstance(planned.parsed_output, Plan)


@pytest.mark.parametrize("ask", [whole, streamed])
def test_an_overloaded_provider_is_asked_again_and_then_told(
    account: Account, claude: anthropic.Anthropic, ask: Ask
) -> None:
    """One that is overloaded for a moment costs time alone; then it is an error that says not to buy it again."""
    words = f"overload {account.id}"
    asked: Any = agent.asked("claude-haiku-4-5", account.id, [agent.typed(words)]) | {"thinking": {"type": "disabled"}}
    with account.stack.script({"contains": words, "fault": {"status": 529}, "times": 2}):
        assert ask(claude, **asked).stop_reason == "end_turn"
    (job,) = account.live.get("/jobs").json()["data"]
    assert [attempt["status_code"] for attempt in job["attempts"]] == [529, 529, 200]
    with account.stack.script({"contains": words, "fault": {"status": 529}}):
        with pytest.raises(anthropic.InternalServerError) as found:
            ask(claude, **asked)
    assert found.value.type == "api_error" and found.value.request_id
    assert found.value.response.headers["x-should-retry"] == "false"
    assert account.live.get("/jobs").json()["data"][0]["usage"]["credits_used"] == 0


def test_what_coding_agents_send_is_taken(account: Account, claude: anthropic.Anthropic) -> None:
    """Hints of betas change nothing, and the job lists them; so with the fields that the model's provider lacks."""
    user = "user_" + "a" * 64 + "_account__session_" + "b" * 36
    answer = claude.beta.messages.create(
        model="gpt-4",
        max_tokens=200,
        betas=["context-management-2025-06-27", "effort-2025-11-24", "prompt-caching-scope-2026-01-05"],
        system=[{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        messages=ASKING,
        metadata={"user_id": user},
        thinking={"type": "adaptive"},
        output_config={"effort": "medium"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        tools=[{**WEATHER, "eager_input_streaming": True, "cache_control": {"type": "ephemeral"}}],
        extra_body={"diagnostics": {"previous_message_id": None}, "speed": "standard"},
    )
    assert answer.stop_reason == "tool_use"
    (job,) = account.live.get("/jobs").json()["data"]
    told = {"context_management", "diagnostics", "speed", "thinking", "tools[0].eager_input_streaming"}
    assert told <= set(job["ignored"]), job["ignored"]
    empty: Any = {"tools": [], "messages": HELLO, "temperature": 1, "metadata": {"user_id": user}}
    assert claude.messages.create(model="claude-haiku-4-5", max_tokens=50, **_extra(empty)).stop_reason == "end_turn"


def _extra(fields: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, with those that the client has no name for in its extra body."""
    named = {name: value for name, value in fields.items() if name in ("tools", "messages", "metadata")}
    return {**named, "extra_body": {name: value for name, value in fields.items() if name not in named}}


@pytest.mark.parametrize("model", ["claude-opus-5-5", "gpt-4"])
def test_an_agent_runs_its_tools_to_the_end(account: Account, claude: anthropic.Anthropic, model: str) -> None:
    """The official client's own loop, streamed, with the system prompt, the marks and the betas of a coding agent."""
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        asked.append(city)
        return f"sunny in {city}"

    runner = claude.beta.messages.tool_runner(
        model=model,
        max_tokens=2000,
        system=[{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        tools=[get_weather],
        messages=ASKING,
        thinking={"type": "adaptive"},
        output_config={"effort": "medium"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        betas=["context-management-2025-06-27", "interleaved-thinking-2025-05-14", "claude-code-20250219"],
        stream=True,
    )
    answers = [stream.get_final_message() for stream in runner]
    assert asked == ["simulated city"] and [one.stop_reason for one in answers] == ["tool_use", "end_turn"]
    assert len(account.live.get("/jobs").json()["data"]) == 2

"""What of Anthropic's Messages is refused in words, left out, or described to every model; without a server."""

from typing import Any

import pytest

from shared.dialects.messages.requests import to_counted, to_native
from shared.errors import InvalidRequest
from shared.submissions.schemas import read_submission
from tests.unit.test_messages_dialect import EPHEMERAL, TEXT, WHOLE

#: Where the block stands that `said` has.
AT = "messages[0].content[0]"


def said(block: dict[str, Any]) -> dict[str, Any]:
    """The field of a conversation of one block."""
    return {"messages": [{"role": "user", "content": [block]}]}


def test_an_agents_attribution_is_left_out_of_the_prompt() -> None:
    said = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.37; cch=fa690;"}
    made = to_native({**WHOLE, "system": [said, TEXT]})
    assert made.body["messages"][0] == {"role": "system", "content": [TEXT]} and made.unsent == ["system[0]"]


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"mcp_servers": [{"type": "url", "url": "https://a.example", "name": "a"}]}, "mcp_servers", "tools"),
        ({"container": "container_1"}, "container", "do not run here"),
        ({"compaction": {"type": "summarize"}}, "compaction", "summary"),
        ({"fallbacks": "default"}, "fallbacks", "routing.fallbacks"),
        ({"inference_geo": "us"}, "inference_geo", "cannot be chosen"),
        ({"tools": [{"type": "computer_20250124", "name": "computer"}]}, "tools[0].type", "input_schema"),
        ({"tools": [{"type": "bash_20250124", "name": "shell"}]}, "tools[0].name", "must be 'bash'"),
        ({"tools": [{"type": "bash_20250124", "name": "bash", "more": 1}]}, "tools[0].more", "unknown field"),
        ({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "tools[0].type", "no tools run here"),
        ({"thinking": {"type": "enabled"}}, "thinking", "budget_tokens is required"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 2000}}, "thinking", "only allowed if type is enabled"),
        (said({"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}), AT + ".type", "leave the"),
        (said({"type": "container_upload", "file_id": "file_1"}), AT + ".type", "do not run here"),
        (
            said({"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}}),
            AT + ".source.type",
            "PDF",
        ),
        (
            said({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
            AT + ".source.type",
            "uploaded files",
        ),
        (
            said(
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_reference", "tool_name": "b"}]}
            ),
            AT + ".content[0].type",
            "describe the tool",
        ),
    ],
)
def test_what_is_not_served_is_refused_in_words(change: dict[str, Any], where: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as found:
        to_native({**WHOLE, **change})
    assert found.value.param == where and found.value.message.startswith(where)


def test_what_asks_for_nothing_is_passed_over() -> None:
    nothing = {"mcp_servers": [], "container": None, "fallbacks": [], "compaction": None, "inference_geo": "global"}
    made = to_native({**WHOLE, **nothing})
    assert read_submission("chat.completion", made.body).request and made.unsent == ["inference_geo"]


def test_tools_known_by_their_type_are_described_to_every_model() -> None:
    editor = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 10_000}
    tools = [{"type": "bash_20250124", "name": "bash", "cache_control": EPHEMERAL}, editor]
    tools += [{"type": "memory_20250818", "name": "memory"}]
    made = to_native({**WHOLE, "tools": tools})
    bash, editing, memory = (tool["function"] for tool in made.body["tools"])
    assert set(bash["parameters"]["properties"]) == {"command", "restart"} and made.unsent == []
    assert made.body["tools"][0]["cache_control"] == EPHEMERAL
    assert "up to 10000 characters" in editing["description"]
    assert editing["parameters"]["required"] == ["command", "path"]
    assert "rename" in memory["parameters"]["properties"]["command"]["enum"]
    assert to_counted({name: WHOLE[name] for name in ("model", "messages")} | {"tools": tools}).body["tools"]

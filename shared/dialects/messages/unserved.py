"""What Anthropic's Messages have and this API does not serve: a 400 in words that say what to do instead. Pure.

Sources: platform.claude.com/docs/en/api/messages/create and …/api/beta/messages/create (fields, blocks, sources),
…/agents-and-tools/tool-use/server-tools, …/agents-and-tools/mcp-connector, …/build-with-claude/pdf-support. Only what
would change the answer is refused; hints are passed over (`requests`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from shared.dialects.messages import client_tools
from shared.errors import InvalidRequest

#: By field, what to do instead; one that asks for nothing is passed over.
FIELDS: Final[Mapping[str, str]] = {
    "compaction": "ask the model for a summary of the conversation in a message",
    "container": "code execution and skills do not run here",
    "fallbacks": "name models that may serve instead in routing.fallbacks",
    "mcp_servers": "call the servers yourself and describe their tools in tools",
}
#: How types of tools begin that the caller runs, with schemas that are not public or versions that are not known.
_OF_CLIENTS: Final = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
#: How blocks begin that tools of the provider's make.
_SERVER_BLOCKS: Final = (
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "advisor_tool_result",
    "mcp_",
)
_BLOCKS: Final[Mapping[str, str]] = {
    "compaction": "send the messages that it summarizes",
    "container_upload": "code execution and skills do not run here",
    "tool_reference": "describe the tool in tools",
    "tool_addition": "describe the tool in tools",
    "tool_removal": "leave the tool out of tools",
}
_NO_FILES: Final = "uploaded files are not supported; send the content itself"
_NO_PDF: Final = "PDF documents are not supported; send their text, or their pages as images"


def check(body: Mapping[str, Any]) -> None:
    """400 for the first thing that is not served; what is of no such shape is left to be refused for its shape."""
    for name, instead in FIELDS.items():
        if body.get(name):
            _refuse(name, f"not supported; {instead}")
    if (region := body.get("inference_geo")) not in (None, "global"):
        _refuse("inference_geo", f"{str(region)[:50]!r} is not supported; where requests run cannot be chosen")
    for at, tool in _objects(body.get("tools")):
        _check_tool(tool, f"tools[{at}]")
    for at, turn in _objects(body.get("messages")):
        _check_blocks(turn.get("content"), f"messages[{at}].content")


def _check_tool(tool: Mapping[str, Any], path: str) -> None:
    """400 for a tool that has no schema here, because it is known to the provider by its type."""
    kind = tool.get("type")
    if not isinstance(kind, str) or kind == "custom" or client_tools.is_known(kind):
        return
    if kind.startswith(_OF_CLIENTS):
        _refuse(f"{path}.type", f"{kind[:50]!r} is not supported; define a custom tool with its input_schema")
    _refuse(f"{path}.type", f"{kind[:50]!r} is not supported, no tools run here; define a custom tool and run it")


def _check_blocks(blocks: Any, path: str) -> None:
    for at, block in _objects(blocks):
        kind, here = block.get("type"), f"{path}[{at}]"
        if not isinstance(kind, str):
            continue
        if instead := _BLOCKS.get(kind):
            _refuse(f"{here}.type", f"{kind!r} is not supported; {instead}")
        if kind.startswith(_SERVER_BLOCKS):
            _refuse(f"{here}.type", f"{kind[:50]!r} is not supported, no tools run here; leave the block out")
        if kind in ("document", "image"):
            _check_source(block.get("source"), kind, f"{here}.source")
        elif kind == "tool_result":
            _check_blocks(block.get("content"), f"{here}.content")


def _check_source(source: Any, kind: str, path: str) -> None:
    if not isinstance(source, dict):
        return
    if source.get("type") == "file":
        _refuse(f"{path}.type", _NO_FILES)
    if kind == "document" and source.get("type") in ("base64", "url"):
        _refuse(f"{path}.type", _NO_PDF)


def _objects(given: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return ((at, one) for at, one in enumerate(given if isinstance(given, list) else ()) if isinstance(one, dict))


def _refuse(path: str, why: str) -> NoReturn:
    raise InvalidRequest(f"{path}: {why}", param=path)

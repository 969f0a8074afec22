"""Tools that callers run and whose schema Anthropic's models know by their type, described for every model. Pure.

Sources: platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool, …/text-editor-tool, …/memory-tool (names,
commands and their parameters); the types of the official SDK (`BetaMemoryTool20250818…Command`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import InvalidRequest

_TEXT: Final = {"type": "string"}
_RANGE: Final = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "The first and the last line to view, from 1; -1 is the end.",
}
_CHANGES: Final[Mapping[str, Any]] = {
    "path": {"type": "string", "description": "The file or directory."},
    "view_range": _RANGE,
    "file_text": {"type": "string", "description": "Of create: the content of the file."},
    "old_str": {"type": "string", "description": "Of str_replace: the text to replace, which must stand there once."},
    "new_str": {"type": "string", "description": "Of str_replace: the text in its place."},
    "insert_line": {"type": "integer", "description": "Of insert: the line after which to insert; 0 is the start."},
}


@dataclass(frozen=True, slots=True)
class _Known:
    """A tool: the name that it must have, what it does, its parameters and those that every call has."""

    name: str
    about: str
    properties: Mapping[str, Any]
    required: tuple[str, ...]


def _commands(*names: str) -> dict[str, Any]:
    return {"command": {"type": "string", "enum": list(names)}}


_BASH: Final = _Known(
    "bash",
    "Runs a command in a shell that stays open between calls. `restart` starts the shell anew.",
    {"command": {"type": "string", "description": "The command; required unless the shell is restarted."}}
    | {"restart": {"type": "boolean"}},
    (),
)
_INSERTED: Final = {"insert_text": {"type": "string", "description": "Of insert: the text to insert."}}
_EDITOR: Final = "Views, creates and changes text files, and lists directories."
_OLD_EDITOR: Final = _Known(
    "str_replace_editor",
    _EDITOR,
    _commands("view", "create", "str_replace", "insert", "undo_edit")
    | {**_CHANGES, "new_str": {"type": "string", "description": "The new text, of str_replace and of insert."}},
    ("command", "path"),
)
_NEW_EDITOR: Final = _Known(
    "str_replace_based_edit_tool",
    _EDITOR,
    _commands("view", "create", "str_replace", "insert") | {**_CHANGES, **_INSERTED},
    ("command", "path"),
)
_MEMORY: Final = _Known(
    "memory",
    "Keeps files for later conversations in the directory /memories: views, creates, changes, deletes and renames "
    "them. View the directory before anything else.",
    _commands("view", "create", "str_replace", "insert", "delete", "rename")
    | {**_CHANGES, **_INSERTED, "old_path": _TEXT, "new_path": _TEXT},
    ("command",),
)
_KNOWN: Final[Mapping[str, _Known]] = {
    "bash_20241022": _BASH,
    "bash_20250124": _BASH,
    "text_editor_20241022": _OLD_EDITOR,
    "text_editor_20250124": _OLD_EDITOR,
    "text_editor_20250429": _NEW_EDITOR,
    "text_editor_20250728": _NEW_EDITOR,
    "memory_20250818": _MEMORY,
}


def is_known(kind: str) -> bool:
    """Whether a type is one of these tools."""
    return kind in _KNOWN


def described(tools: Any) -> Any:
    """The tools of a request, these as custom ones; what is of no such shape is left to be refused for its shape."""
    if not isinstance(tools, list):
        return tools
    return [_described(tool, f"tools[{at}]") for at, tool in enumerate(tools)]


def _described(tool: Any, path: str) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else None
    known = _KNOWN.get(kind) if isinstance(kind, str) else None
    if known is None:
        return tool
    if tool.get("name") != known.name:
        raise InvalidRequest(f"{path}.name: must be {known.name!r} for type {kind}", param=f"{path}.name")
    rest = {name: value for name, value in tool.items() if name not in ("type", "max_characters")}
    most = tool.get("max_characters") if known.about == _EDITOR else None
    about = known.about + (f" A file is shown up to {most} characters." if isinstance(most, int) else "")
    schema = {"type": "object", "properties": dict(known.properties), "required": list(known.required)}
    return {**rest, "description": about, "input_schema": schema}

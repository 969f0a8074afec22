"""Base classes of request bodies; an error names the field by its path in the body as it was sent."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from shared.errors import InvalidRequest, PayloadTooLarge, RequestRefused

#: Telling faults costs far more than finding them: of more than this many none is told.
MOST_FAULTS = 100
#: The type of a validation error that is a 413.
TOO_LARGE = "payload_too_large"


class Shape(BaseModel):
    """A shape that refuses fields it does not know, naming them."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NullIsAbsent(Shape):
    """One in which a `null` is read as OpenAI reads it: the field is not there."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: Any) -> Any:
        if isinstance(given, dict) and None in given.values():
            known = cls.model_fields
            return {name: value for name, value in given.items() if value is not None or name not in known}
        return given


def invalid(error: ValidationError, at: str = "") -> RequestRefused:
    """The 400 or 413 of a validation error: a wrong size, else a `type` that is none, else the deepest wrong place.

    A value of a union fails once for each branch; a wrong size is the branch that was meant.
    """
    if error.error_count() > MOST_FAULTS:
        where = at.rstrip(".") or "request body"
        return InvalidRequest(
            f"{where} has more than {MOST_FAULTS} errors and does not match the expected schema",
            param=at.rstrip(".") or None,
        )
    errors = error.errors(include_url=False, include_input=False)
    first = max(errors, key=lambda e: (e["type"] in _SIZES, _is_of_another_type(e), len(_path(e["loc"]))))
    path = (at + _path(first["loc"], named=first["type"] == "extra_forbidden")).rstrip(".")
    kind = PayloadTooLarge if first["type"] == TOO_LARGE else InvalidRequest
    return kind(f"{path or 'request body'}: {_message(first)}", param=path or None)


def _is_of_another_type(fault: ErrorDetails) -> bool:
    """Whether its place is a `type` that is none: what is missing beside it belongs to the type that it should be."""
    return fault["type"] == "literal_error" and fault["loc"][-1] == "type"


def _message(fault: ErrorDetails) -> str:
    """What pydantic says, worded and begun as our own messages are."""
    if fault["type"] in _MESSAGES:
        return _MESSAGES[fault["type"]]
    if fault["type"] == "union_tag_invalid":
        known = fault["ctx"]["expected_tags"].replace("'", "")
        return f"type '{fault['ctx']['tag'][:_MOST_NAME]}' is not supported; supported: {known}"
    message = fault["msg"].removeprefix("Value error, ").replace(" after validation", "")
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


_MESSAGES: Final = {
    "extra_forbidden": "unknown field",
    "missing": "required field is missing",
    "union_tag_not_found": "type is missing",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be an object"),
}
#: Steps of a location that name a branch of a union, not a field.
_BRANCHES = frozenset({"str", "int", "float", "dict", "NamedToolChoice"})
_PART_TAGS = frozenset(
    {"text", "image_url", "refusal", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"}
)
_SIZES = frozenset({"too_short", "too_long", "string_too_short", "string_too_long", TOO_LARGE})
#: Characters of an unknown name, of a field or a type, that are given back.
_MOST_NAME = 100


def _path(loc: tuple[int | str, ...], *, named: bool = False) -> str:
    """`('messages', 2, 'content', 'list[…]', 0, 'text', 'text')` → `messages[2].content[0].text`.

    `named`: the last step is a name that the caller made up, whatever it looks like.
    """
    if named:
        return f"{_path(loc[:-1])}.{str(loc[-1])[:_MOST_NAME]}".removeprefix(".")
    path, before = "", ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.isidentifier() and step not in _BRANCHES and not (before == "[" and step in _PART_TAGS):
            path += f".{step}" if path else step
        before = "[" if isinstance(step, int) else ""
    return path

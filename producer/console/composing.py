"""The form of the page New: its fields, and the request of the API that what was filled in makes. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import FormData

from shared import strict_json
from shared.errors import InvalidRequest
from shared.submissions.job_types import JobType

TYPES: Final = (("chat.completion", "Chat"), ("embedding", "Embedding"), ("image", "Image"))
ROLES: Final = (("system", "System"), ("user", "User"), ("assistant", "Assistant"), ("developer", "Developer"))
#: Messages of the form; a conversation that is longer goes in a file.
MOST_MESSAGES: Final = 20


class FormError(Exception):
    """What was filled in makes no request: which field (its name in the API), and what is wrong with it."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param, self.message = param, message


@dataclass(frozen=True, slots=True)
class Input:
    """A field of the form; its name is that of the request's field."""

    name: str
    label: str
    read: Callable[[str, str], Any]
    hint: str = ""
    placeholder: str = ""
    #: Pairs of a value and its name, where one is chosen.
    options: Sequence[tuple[str, str]] = ()
    area: bool = False


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise FormError(name, f"{name} must be a whole number, such as 200")
    return int(text)


def _number(name: str, text: str) -> float | int:
    if not re.fullmatch(r"-?[0-9]{1,15}([.,][0-9]{1,15})?", text):
        raise FormError(name, f"{name} must be a number, such as 0.7")
    value = float(text.replace(",", "."))
    return int(value) if value.is_integer() else value


def _text(name: str, text: str) -> str:
    return text


def _texts(name: str, text: str) -> str | list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else lines


def _format(name: str, text: str) -> dict[str, str]:
    return {"type": text}


def _labels(name: str, text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        key, separator, value = line.partition("=")
        if not separator or not key.strip():
            raise FormError(name, f"{name} is NAME=VALUE, one a line; {line[:50]!r} is not")
        found[key.strip()] = value.strip()
    return found


METADATA: Final = Input("metadata", "Metadata", _labels, "Your own labels, by which usage is shown.", "team=support")
#: Whatever else the request may have.
OTHERS: Final = Input("others", "Other fields", _text)
#: What stands first, and what most requests leave as it is.
FIRST: Final[Mapping[JobType, Sequence[Input]]] = {
    "chat.completion": (
        Input("max_tokens", "Max tokens", _integer, "At most so many in the answer; it bounds the price.", "200"),
        Input("temperature", "Temperature", _number, "0 to 2; empty: the model's own.", "1"),
    ),
    "embedding": (
        Input("input", "Input", _texts, "A text; several, one a line.", "Search this knowledge base", area=True),
        Input("dimensions", "Dimensions", _integer, "Empty: all that the model has.", "256"),
    ),
    "image": (
        Input("prompt", "Prompt", _text, "", "A lighthouse in the morning", area=True),
        Input("size", "Size", _text, "Empty: 1024x1024.", "1024x1024"),
        Input("n", "How many", _integer, "", "1"),
    ),
}
MORE: Final[Mapping[JobType, Sequence[Input]]] = {
    "chat.completion": (
        Input("top_p", "Top p", _number, "", "1"),
        Input("seed", "Seed", _integer, "The same answer again, where the model can.", "7"),
        Input(
            "response_format",
            "Answer as",
            _format,
            options=(("", "text"), ("json_object", "a JSON object")),
        ),
    ),
    "embedding": (),
    "image": (Input("quality", "Quality", _text, "Empty: the model's own.", "standard"),),
}


def body_of(type: JobType, form: FormData) -> dict[str, Any]:
    """The request that a form makes, without its type; FormError: it makes none. What is empty is left out."""
    body: dict[str, Any] = {"model": _given(form, "model")}
    if type == "chat.completion":
        body["messages"] = messages_of(form)
        if not body["messages"]:
            raise FormError("messages", "the messages are empty: write what is asked in that of the user")
    if not body["model"]:
        raise FormError("model", "choose a model")
    for field in (*FIRST[type], *MORE[type], METADATA):
        if text := _given(form, field.name):
            body[field.name] = field.read(field.name, text)
    return body | _others(_given(form, "others"))


def messages_of(form: FormData) -> list[dict[str, str]]:
    """The messages of a chat, in their order; those with nothing in them but a system message's role are left out."""
    pairs = zip(form.getlist("role"), form.getlist("content"), strict=False)
    known = {role for role, _ in ROLES}
    found = [
        {"role": str(role) if role in known else "user", "content": str(content).replace("\r\n", "\n")}
        for role, content in pairs
    ][:MOST_MESSAGES]
    return [one for one in found if one["content"].strip()]


def _given(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip().replace("\r\n", "\n") if isinstance(value, str) else ""


def _others(text: str) -> dict[str, Any]:
    """Fields that the form has none for, as a JSON object."""
    if not text:
        return {}
    try:
        given = strict_json.loads(text.encode(), what="other fields")
    except InvalidRequest as error:
        raise FormError("others", error.message) from None
    if not isinstance(given, dict):
        raise FormError("others", 'other fields must be a JSON object, such as {"stop": ["END"]}')
    return given

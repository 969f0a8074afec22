"""What is wrong with a file, one line each; for an unknown model, the closest known name."""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, BinaryIO, Final

from fusionai.plain import PlainClient
from fusionai.plain.objects import Fault
from producer.terminal import one_line

#: What the server says of a model that it does not know, in whose place the command has a hint of its own.
_UNKNOWN: Final = "GET /v1/models lists the available models"


def listed(faults: Sequence[Fault], name: str | None) -> list[str]:
    """What is wrong, a line each: `name:line: reason`, or without the file's name `line n: reason`."""
    return [one_line(f"{_place(fault['line'], name)}{fault['message']}") for fault in faults]


def explained(client: PlainClient, stream: BinaryIO, faults: Sequence[Fault]) -> list[Fault]:
    """The same faults; of a model that the server does not know, which one is nearest and where the names are.

    Any other reason (the key may not use the model, it makes no embeddings) stays as the server gives it. `stream` has
    the lines that the faults are about.
    """
    about = {fault["line"] for fault in faults if _UNKNOWN in fault["message"]}
    if not about:
        return list(faults)
    known = [str(row["id"]) for row in client.models()["data"]]
    asked = _models(stream, about)
    return [{**fault, "message": _hinted(fault["message"], asked.get(fault["line"]), known)} for fault in faults]


def _hinted(message: str, asked: str | None, known: Sequence[str]) -> str:
    near = get_close_matches(asked, known, n=1, cutoff=0.5) if asked else []
    meant = f"is {near[0]} meant? " if near else ""
    return message.replace(_UNKNOWN, f"{meant}`fusionai models` lists them")


def _models(stream: BinaryIO, numbers: set[int | None]) -> dict[int | None, str]:
    """What the lines of these numbers ask for."""
    stream.seek(0)
    found: dict[int | None, str] = {}
    for number, line in enumerate(stream, start=1):
        if number in numbers and isinstance(model := _body(line).get("model"), str):
            found[number] = model
    return found


def _body(line: bytes) -> dict[str, Any]:
    value = json.loads(line)["body"]
    return value if isinstance(value, dict) else {}


def _place(line: int | None, name: str | None) -> str:
    if name is None:
        return f"line {line}: " if line else ""
    return f"{name}:{line}: " if line else f"{name}: "

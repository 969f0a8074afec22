"""What Gemini demands of a conversation: results of functions that match their calls, signatures where it signs.

Source: https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/gemini-api/docs/thought-signatures
(Gemini 3 and later refuse, in the turn that is under way, a step whose first functionCall has no thoughtSignature), and
the refusals as reported: discuss.ai.google.dev/t/109823, google-gemini/gemini-cli.
"""

import base64
import binascii
import re
from typing import Any, Final

from workers.simulator.messages import SimulatedRefusal, objects

Content = dict[str, Any]

#: Instead of a signature, in a conversation that another model began.
SKIPS: Final = frozenset({"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"})
_OURS: Final = b"simulated thought "
_NUMBER: Final = re.compile(r"gemini-([0-9]+)")
_LOST: Final = (
    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, "
    "and missing thought_signature may lead to degraded model performance. Additional data, function call "
    "`default_api:{name}` , position {at}. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures "
    "for more details."
)


def signs(model: str) -> bool:
    """Whether a model is of a generation that signs its calls, and gives them ids."""
    found = _NUMBER.match(model)
    return found is not None and int(found[1]) >= 3


def signature(id: str) -> str:
    """The signature of an answer."""
    return base64.b64encode(_OURS + id.encode()).decode()


def check(model: str, contents: list[Content]) -> None:
    """A 400 for a conversation that the real one refuses."""
    _check_results(contents)
    for content in contents:
        for part in objects(content, "parts"):
            if (given := part.get("thoughtSignature")) and not _is_signature(given):
                raise SimulatedRefusal(400, "Corrupted thought signature.")
    if signs(model):
        _check_signed(contents)


def _parts(content: Content, name: str) -> list[dict[str, Any]]:
    return [part[name] for part in objects(content, "parts") if part.get(name) is not None]


def _check_results(contents: list[Content]) -> None:
    asked: list[dict[str, Any]] = []
    before = ""
    for content in contents:
        calls, results = _parts(content, "functionCall"), _parts(content, "functionResponse")
        if results and not asked:
            raise SimulatedRefusal(
                400, "Please ensure that function response turn comes immediately after a function call turn."
            )
        if asked and len(results) != len(asked):
            raise SimulatedRefusal(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
            )
        for called, result in zip(_in_order(asked, results), results, strict=True):
            _check_result(called, result)
        if calls and before not in ("user", "function"):
            raise SimulatedRefusal(
                400,
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn.",
            )
        asked, before = calls, content.get("role", "user")


def _in_order(asked: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The call of each result: by its id where that is known, else by its place."""
    by_id = {call["id"]: call for call in asked if call.get("id")}
    return [by_id.get(result.get("id", ""), call) for call, result in zip(asked, results, strict=bool(asked))]


def _check_result(called: dict[str, Any], result: dict[str, Any]) -> None:
    if not result.get("name"):
        raise SimulatedRefusal(
            400, "* GenerateContentRequest.contents[].parts[].function_response.name: Name cannot be empty."
        )
    if not isinstance(result.get("response"), dict):
        raise SimulatedRefusal(400, "Invalid value at 'function_response.response' (type.googleapis.com/google.Struct)")
    if result["name"] != called.get("name"):
        raise SimulatedRefusal(400, f"Function response name {result['name']} does not match its function call.")


def _check_signed(contents: list[Content]) -> None:
    """The steps since the user last said something."""
    begins = max((at for at, one in enumerate(contents) if _is_said(one)), default=0)
    for at, content in enumerate(contents[begins:], begins + 1):
        parts = [part for part in objects(content, "parts") if part.get("functionCall") is not None]
        if parts and not parts[0].get("thoughtSignature"):
            raise SimulatedRefusal(400, _LOST.format(name=parts[0]["functionCall"].get("name"), at=at))


def _is_said(content: Content) -> bool:
    return content.get("role", "user") == "user" and not _parts(content, "functionResponse")


def _is_signature(given: str) -> bool:
    if given in SKIPS:
        return True
    try:
        decoded = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return False
    return decoded.startswith(_OURS) or decoded.decode("latin-1") in SKIPS

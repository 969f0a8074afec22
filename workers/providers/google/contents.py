"""The messages of a chat as Gemini's `contents` and `systemInstruction`.

Source: https://ai.google.dev/api/caching#Content, https://ai.google.dev/gemini-api/docs/function-calling and
https://ai.google.dev/gemini-api/docs/thought-signatures.

| message | content |
|---|---|
| system, developer, wherever it stands | a part of `systemInstruction` (pictures in it: of the user's turn there) |
| user | `user`: text, inlineData (base64), fileData (an https address) |
| assistant | `model`: text, functionCall with its id and thoughtSignature |
| tool | `user`: functionResponse, with the name of the function that its call names |

Neighbours of one role become one content. The results of the calls of one turn stand together in one content, apart
from what the user says next: Gemini counts them against the calls before them.
"""

import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from shared import strict_json
from shared.errors import ProviderError
from workers.answers.reading import loads
from workers.providers.google.generations import Generation
from workers.providers.google.signatures import Signatures

Part = dict[str, Any]
Message = Mapping[str, Any]

#: What Google says to send with a call that another model made, or whose signature was lost; no check is made then.
UNSIGNED: Final = "skip_thought_signature_validator"
_OF_SYSTEM: Final = frozenset({"system", "developer"})
#: A picture's address that does not end in a known way is taken to be of this kind.
_USUAL_PICTURE: Final = "image/jpeg"
#: Hosts whose addresses Gemini reads as something else: films, and files that were uploaded with the operator's key
#: (https://ai.google.dev/gemini-api/docs/video-understanding, https://ai.google.dev/gemini-api/docs/files).
_NOT_PICTURES: Final = ("youtube.com", "youtu.be", "youtube-nocookie.com", "generativelanguage.googleapis.com")
_RESOLUTIONS: Final = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}


class GeminiContents:
    """The contents in the making; `signatures` are those that the caller gave back."""

    def __init__(self, generation: Generation, signatures: Signatures) -> None:
        self._generation = generation
        self._signatures = signatures
        self._contents: list[dict[str, Any]] = []
        self._instruction: list[Part] = []
        #: The function of each call so far, by the call's id.
        self._called: dict[str, str] = {}

    def add(self, at: int, message: Message) -> None:
        """Add the message number `at`."""
        match message["role"]:
            case "assistant":
                self._append("model", list(self._of_model(at, message)))
            case "tool":
                self._append("user", self._result(at, message), results=True)
            case role:
                parts = list(self._parts(at, message))
                if role in _OF_SYSTEM:
                    self._instruction += [part for part in parts if "text" in part]
                    parts = [part for part in parts if "text" not in part]
                self._append("user", parts)

    def shown(self) -> dict[str, Any]:
        """The fields of the request. A request of instructions alone makes them the user's words."""
        if not self._contents:
            return {"contents": [{"role": "user", "parts": self._instruction}]}
        instruction = {"systemInstruction": {"parts": self._instruction}} if self._instruction else {}
        return {**instruction, "contents": [{"role": one["role"], "parts": one["parts"]} for one in self._contents]}

    def _append(self, role: str, parts: list[Part], *, results: bool = False) -> None:
        if not parts:
            return
        last = self._contents[-1] if self._contents else None
        if last is not None and (last["role"], last["results"]) == (role, results):
            last["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts, "results": results})

    def _parts(self, at: int, message: Message) -> Iterator[Part]:
        """The content of a message."""
        content = message.get("content")
        if isinstance(content, str):
            yield {"text": content}
            return
        for number, part in enumerate(content or ()):
            if part["type"] == "image_url":
                yield self._picture(part["image_url"])
            else:
                yield {"text": part[part["type"]], **self._signatures.of(f"messages[{at}].content[{number}]")}

    def _picture(self, given: Mapping[str, Any]) -> Part:
        url = given["url"]
        if url.startswith("data:"):
            media_type, _, data = url.removeprefix("data:").partition(";base64,")
            part: Part = {"inlineData": {"mimeType": media_type, "data": data}}
        else:
            part = {"fileData": {"mimeType": _kind_of_address(url), "fileUri": url}}
        if self._generation.resolves_parts and (level := _RESOLUTIONS.get(given.get("detail") or "")):
            part["mediaResolution"] = {"level": level}
        return part

    def _of_model(self, at: int, message: Message) -> Iterator[Part]:
        """What the model said, and then what it called."""
        said = [part for part in self._parts(at, message) if part.get("text")]
        if refusal := message.get("refusal"):
            said.append({"text": refusal})
        if signature := self._signatures.of(f"messages[{at}]"):
            said = said or [{"text": ""}]
            said[-1] = {**said[-1], **signature}
        yield from said
        for number, call in enumerate(message.get("tool_calls") or ()):
            yield self._call(f"messages[{at}].tool_calls[{number}]", call, first=number == 0)

    def _call(self, path: str, call: Mapping[str, Any], *, first: bool) -> Part:
        function = call["function"]
        self._called[call["id"]] = function["name"]
        signature = self._signatures.of(path) or self._signatures.of(f"{path}.function")
        if not signature and first and self._generation.signs:
            signature = {"thoughtSignature": UNSIGNED}
        args = _object(function["arguments"], "arguments")
        return {"functionCall": {"id": call["id"], "name": function["name"], "args": args}, **signature}

    def _result(self, at: int, message: Message) -> list[Part]:
        """A tool's result: an object as it is, any other text as the `output` of one; pictures in it, or beside it."""
        parts = list(self._parts(at, message))
        text = "\n".join(part["text"] for part in parts if "text" in part)
        id = message["tool_call_id"]
        name = self._called.get(id) or message.get("name") or id
        response: Part = {"id": id, "name": name, "response": _object(text, "output")}
        pictures = [part for part in parts if "text" not in part]
        if pictures and self._generation.shows_results:
            response["parts"], pictures = pictures, []
        return [{"functionResponse": response}, *pictures]


def _kind_of_address(url: str) -> str:
    """The media type of the picture at an address; ProviderError when it is plainly no picture.

    What was held for is a picture: a film or a document of many pages would cost many times that. And what lies in the
    operator's own account with Google is nobody's to name.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    kind = mimetypes.guess_type(parts.path)[0] or _USUAL_PICTURE
    elsewhere = any(host == name or host.endswith(f".{name}") for name in _NOT_PICTURES)
    if elsewhere or kind.startswith(("audio/", "video/")) or kind == "application/pdf":
        why = "image_url: the address is not that of a picture"
        raise ProviderError(why, upstream_status=400, code="INVALID_ARGUMENT", param="image_url")
    return kind if kind.startswith("image/") else _USUAL_PICTURE


def _object(text: str, name: str) -> dict[str, Any]:
    """The JSON object that a text is; another text is that field of one, none at all an empty one."""
    try:
        value = loads(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        value = None
    if isinstance(value, dict) and not strict_json.is_deep(value):
        return value
    return {name: text} if text.strip() or name == "output" else {}

"""What generateContent answers, whole or a chunk of its stream, in the words of a chat completion.

Source: https://ai.google.dev/api/generate-content#v1beta.Candidate and #FinishReason.

| finishReason | what becomes of it |
|---|---|
| STOP | `stop`, or `tool_calls` where it calls |
| MAX_TOKENS, CONTINUATION | `length` |
| SAFETY, RECITATION, BLOCKLIST, PROHIBITED_CONTENT, SPII, LANGUAGE, ESCALATION, MODEL_ARMOR, IMAGE_SAFETY, \
IMAGE_PROHIBITED_CONTENT, IMAGE_RECITATION | `content_filter`, with what was said before it |
| OTHER, IMAGE_OTHER, one that is not known | `stop` where something was said, else it failed (protocol) |
| MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, MALFORMED_RESPONSE, TOO_MANY_TOOL_CALLS | a wrong shape |
| MISSING_THOUGHT_SIGNATURE | the request is wrong: 400 |
| NO_IMAGE | no answer (empty) |
| PUP_LIMITED_DISABLED | our account is refused: a fault of the key |
| FINISH_REASON_UNSPECIFIED | none yet |

A prompt that is blocked (`promptFeedback.blockReason`, no candidates) is the caller's fault, a content filter's.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from shared.errors import ProviderError
from workers.answers.shape import SHAPE, place, wrong
from workers.providers.google import signatures

Body = dict[str, Any]


def _each(word: str, reasons: str) -> dict[str, str]:
    return dict.fromkeys(reasons.split(), word)


_WORDS: Final = {
    **_each("stop", "STOP"),
    **_each("length", "MAX_TOKENS CONTINUATION"),
    **_each("content_filter", "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII LANGUAGE ESCALATION MODEL_ARMOR"),
    **_each("content_filter", "IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION"),
}
_MALFORMED: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS"}
)
_NOT_YET: Final = frozenset({"", "FINISH_REASON_UNSPECIFIED"})


class CandidateReader:
    """Reads the candidates of one answer, chunk after chunk."""

    def __init__(self) -> None:
        #: How many calls each candidate has had, and which of them has said something.
        self._calls: dict[int, int] = {}
        self._spoken: set[int] = set()

    def choices(self, body: Mapping[str, Any]) -> list[Body]:
        """The choices of a body or chunk, each with its `delta`; ProviderError when a prompt or an answer is none."""
        candidates = body.get("candidates")
        if not candidates:
            refuse_blocked(body)
            return []
        if not isinstance(candidates, list):
            raise wrong("candidates", "is not an array")
        return [self._choice(at, one) for at, one in enumerate(candidates)]

    def _choice(self, at: int, candidate: Any) -> Body:
        path = f"candidates[{at}]"
        if not isinstance(candidate, Mapping):
            raise wrong(path, "is not an object")
        index = place(candidate.get("index"), f"{path}.index") or 0 if "index" in candidate else at
        delta = self._delta(index, _parts(candidate, path))
        if any(delta.get(name) for name in ("content", "tool_calls")):
            self._spoken.add(index)
        ending = _ending(candidate, path, spoken=index in self._spoken)
        return {"index": index, "delta": delta, "logprobs": _likely(candidate, path), "finish_reason": ending}

    def _delta(self, index: int, parts: Iterable[tuple[str, Mapping[str, Any]]]) -> Body:
        delta: Body = {}
        for path, part in parts:
            called = part.get("functionCall")
            if called is not None:
                number = self._calls.get(index, 0)
                self._calls[index] = number + 1
                delta.setdefault("tool_calls", []).append(_call(number, called, part, path))
                continue
            delta.update(signatures.shown(part))
            text = part.get("text")
            if not isinstance(text, str | None):
                raise wrong(f"{path}.text", "is not a string")
            name = "reasoning_content" if part.get("thought") else "content"
            if text:
                delta[name] = delta.get(name, "") + text
        return delta


def filtered(reason: Any) -> bool:
    """Whether a finishReason is that of a filter."""
    return isinstance(reason, str) and _WORDS.get(reason) == "content_filter"


def refuse_blocked(body: Mapping[str, Any]) -> None:
    """ProviderError when the prompt was blocked: the caller's fault, wherever it is asked."""
    feedback = body.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, Mapping) else None
    if isinstance(reason, str) and reason not in ("", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"):
        why = f"the provider blocked the prompt ({reason[:100]})"
        raise ProviderError(why, upstream_status=400, code="content_filter")


def _parts(candidate: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parts of a candidate, each with its path; content may be missing, and so may its parts."""
    content = candidate.get("content")
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise wrong(f"{path}.content", "is not an object")
    parts = content.get("parts")
    if not isinstance(parts, list | None):
        raise wrong(f"{path}.content.parts", "is not an array")
    for at, part in enumerate(parts or ()):
        where = f"{path}.content.parts[{at}]"
        if not isinstance(part, Mapping):
            raise wrong(where, "is not an object")
        yield where, part


def _call(number: int, called: Any, part: Mapping[str, Any], path: str) -> Body:
    """A function call, which always comes whole, as a tool call."""
    if not isinstance(called, Mapping):
        raise wrong(f"{path}.functionCall", "is not an object")
    args = called.get("args")
    if not isinstance(args, Mapping | None):
        raise wrong(f"{path}.functionCall.args", "is not an object")
    function = {"name": called.get("name"), "arguments": orjson.dumps(args or {}).decode()}
    return {"index": number, "id": called.get("id"), "function": function, **signatures.shown(part)}


def _ending(candidate: Mapping[str, Any], path: str, *, spoken: bool) -> str | None:
    """OpenAI's word for why a candidate ended, by the table above."""
    reason = candidate.get("finishReason")
    if not isinstance(reason, str | None):
        raise wrong(f"{path}.finishReason", "is not a string")
    if reason is None or reason in _NOT_YET:
        return None
    if word := _WORDS.get(reason):
        return word
    if reason in _MALFORMED:
        raise ProviderError(
            f"the model produced a malformed tool call or response ({reason})", upstream_status=200, code=SHAPE
        )
    if reason == "MISSING_THOUGHT_SIGNATURE":
        why = "a tool call in messages lacks the thought signature that it came with (extra_content)"
        raise ProviderError(why, upstream_status=400, code="INVALID_ARGUMENT")
    if reason == "PUP_LIMITED_DISABLED":
        raise ProviderError("the provider has limited the account", upstream_status=403, code="account_deactivated")
    if reason == "NO_IMAGE":
        raise ProviderError("the provider's response contains no images", upstream_status=200, code="empty")
    if not spoken:
        why = f"the provider ended its response without an answer ({reason[:100]})"
        raise ProviderError(why, upstream_status=200, code="protocol")
    return "stop"


def _likely(candidate: Mapping[str, Any], path: str) -> Body | None:
    """`logprobsResult` as OpenAI's logprobs: the chosen tokens, each with its rivals."""
    given = candidate.get("logprobsResult")
    if not isinstance(given, Mapping):
        return None
    rivals = given.get("topCandidates") or []
    tokens = []
    for at, one in enumerate(given.get("chosenCandidates") or ()):
        beside = rivals[at].get("candidates") or () if at < len(rivals) else ()
        tokens.append({**_token(one), "top_logprobs": [_token(other) for other in beside]})
    return {"content": tokens} if tokens else None


def _token(given: Mapping[str, Any]) -> Body:
    text = str(given.get("token") or "")
    return {"token": text, "logprob": given.get("logProbability"), "bytes": list(text.encode("utf-8", "replace"))}

"""The conductor of euqai-fusion-v1: decides who answers (text, vision, pictures), and guarantees JSON. Pure.

Steps: `conductor`, a call that decides whether a picture is asked for, where that may be; then `image`, or `text` with
the specialist for text or for vision; with `grounding`, where that wants to search the web, `search` and `answer`
(`grounding`); in JSON mode, where the answer is no JSON object, `repair`.

What is charged are equivalent tokens at the price of the model itself, whoever served: of text as reported; of pictures
by their pixels; all of the conductor's call as input, since its reasoning is a part of the prompt that is billed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from shared.errors import InvalidRequest, UpstreamError
from shared.money.pricing import Amount, Overheads, input_bound
from shared.submissions import token_estimates
from shared.submissions.job_types import JobType
from shared.submissions.schemas import Usage
from shared.submissions.steps import grounding, json_answers, pictures
from shared.submissions.steps.conducting import Asked, Failure, FinalAnswer, Finished, Step

#: The limit on an answer of which none is asked for.
USUAL_LIMIT: Final = 6144
#: Tokens of the conductor's answer, which is at most a prompt for a picture; and bytes of the conversation that it is
#: shown, the last ones.
CONDUCTOR_LIMIT: Final = 400
CONDUCTOR_BYTES: Final = 6000
CONDUCTOR: Final = (
    "You are the conductor of a team of specialists. Read the conversation and decide who answers its last message. "
    "If the last message asks for an image, picture, drawing, photo or logo to be made, answer with one line: IMAGE: "
    "followed by a detailed prompt for an image generator, in English. In every other case answer with one word: TEXT."
)
#: How the conversation is shown to the conductor.
QUESTION: Final = "Who answers the last message of this conversation?\n\n"
_PICTURE: Final = "IMAGE:"
#: A chat with one of these is never a request for a picture.
_NOT_OF_PICTURES: Final = ("tools", "response_format", "logprobs")
_MOST_PROMPT: Final = 4000
_NOTHING: Final = Overheads(request=0, message=0, tools=0, tool=0, image=0)


class Euqai:
    """See `conducting.Conductor`."""

    roles: Mapping[str, JobType] = {
        "conductor": "chat.completion",
        "text": "chat.completion",
        "vision": "chat.completion",
        "image": "image",
    }
    by_first_offer = True

    def refused(self, asked: Asked) -> Iterator[tuple[str, str]]:
        """Pictures by address, whose pixels are not known; several answers; what is charged otherwise."""
        if place := pictures.remote(asked.request):
            yield place, "the image must be base64 data (data:image/…;base64,…); URLs are not fetched"
        if (asked.request.get("n") or 1) > 1:
            yield "n", f"{asked.model} gives one answer"
        if "prediction" in asked.request:
            yield "prediction", f"not supported by {asked.model}"
        if asked.request.get(grounding.FIELD):
            yield from grounding.refused(asked.request)

    def next_step(self, asked: Asked, finished: Sequence[Finished]) -> Step | FinalAnswer | Failure:
        """Conductor, specialist, repair: each where it is needed."""
        by = {one.name: one for one in finished}
        if "image" in by:
            return _picture(asked, by, finished)
        if "repair" in by:
            return _whole(asked, by["repair"], finished) or _not_json(asked, by["repair"])
        if "text" in by:
            return _searched(asked, by) or _answered(asked, by, finished)
        if _may_be_of_picture(asked.request) and "conductor" not in by:
            return Step("conductor", "chat.completion", _conducted(asked.request), role="conductor")
        if prompt := _wanted_picture(by.get("conductor")):
            return Step("image", "image", pictures.asked_for(prompt), role="image")
        request = _whole_request(asked)
        visible = not json_answers.wanted(request)
        if asked.request.get(grounding.FIELD):
            request, visible = grounding.offered(request), False
        return Step("text", "chat.completion", request, _role(request), visible=visible)

    def counted(self, asked: Asked, step: Step, usage: Usage) -> Usage:
        """Equivalent tokens, without details."""
        if step.name == "conductor":
            return Usage(prompt_tokens=usage.prompt_tokens + usage.completion_tokens, estimated=usage.estimated)
        if step.name == "image":
            return Usage(completion_tokens=pictures.made_tokens())
        if step.type == grounding.SEARCH:
            return grounding.charged(usage)
        if not (shown := pictures.shown_tokens(asked.request)):
            return Usage(usage.prompt_tokens, usage.completion_tokens, estimated=usage.estimated)
        # How many of the prompt's tokens are pictures the provider does not tell.
        text = min(max(token_estimates.asked(step.request, _NOTHING), 1), usage.prompt_tokens)
        return Usage(shown + text, usage.completion_tokens, estimated=True)

    def worst(self, asked: Asked, text: Amount, whole: Amount, overheads: Overheads) -> Sequence[Sequence[Amount]]:
        """Text and its repair, or the conductor's call and what it leads to."""
        limit = _limit(asked.request)
        prompt = text.input_tokens + pictures.shown_tokens(asked.request)
        *before, answer = _worst_text(asked, Amount(input_tokens=prompt, output_tokens=limit), overheads)
        if json_answers.wanted(asked.request):
            more = json_answers.repair_bound(limit) + 2 * overheads.message
            return [[*before, answer, Amount(input_tokens=answer.input_tokens + more, output_tokens=limit)]]
        if not _may_be_of_picture(asked.request):
            return [[*before, answer]]
        size = len((CONDUCTOR + QUESTION).encode()) + min(text.input_tokens, CONDUCTOR_BYTES)
        conducted = input_bound(text_bytes=size, overheads=overheads, messages=2) + CONDUCTOR_LIMIT
        first = Amount(input_tokens=conducted)
        return [[first, *before, answer], [first, Amount(output_tokens=pictures.made_tokens())]]


def _limit(request: Mapping[str, Any]) -> int:
    return request.get("max_tokens") or USUAL_LIMIT


def _whole_request(asked: Asked) -> dict[str, Any]:
    """What the specialist is asked, with the defaults of the row."""
    request = {**asked.defaults, **asked.request, "max_tokens": _limit(asked.request)}
    return {name: value for name, value in request.items() if name != grounding.FIELD}


def _worst_text(asked: Asked, answer: Amount, overheads: Overheads) -> Sequence[Amount]:
    """The worst case of each call of the specialist, and of a search before the last of them."""
    if not asked.request.get(grounding.FIELD):
        return [answer]
    return grounding.worst(answer, overheads)


def _searched(asked: Asked, by: Mapping[str, Finished]) -> Step | None:
    """The search that the specialist wants, or its answer with what was found; None: neither, or not any more."""
    if not asked.request.get(grounding.FIELD) or "answer" in by:
        return None
    if not (step := grounding.search(asked.request, by["text"].body)):
        return None
    if "search" not in by:
        return step
    visible = not json_answers.wanted(asked.request)
    return Step("answer", "chat.completion", _told(asked, by), _role(asked.request), visible=visible)


def _told(asked: Asked, by: Mapping[str, Finished]) -> dict[str, Any]:
    """What the specialist is asked last: with what its search found, if it made one."""
    request = _whole_request(asked)
    return grounding.answered(request, by["text"].body, by["search"].body) if "search" in by else request


def _answered(asked: Asked, by: Mapping[str, Finished], finished: Sequence[Finished]) -> Step | FinalAnswer | Failure:
    """The end, or where that had to be JSON and is not, its repair."""
    last = by.get("answer") or by["text"]
    if "search" in by:
        if (body := grounding.cited(asked.request, last.body, by["search"].body)) is None:
            return grounding.NO_ANSWER
        last = Finished(last.name, body, last.counted)
    return _whole(asked, last, finished) or _repair(asked, by, last)


def _role(request: Mapping[str, Any]) -> str:
    return "vision" if pictures.shown_tokens(request) else "text"


def _may_be_of_picture(request: Mapping[str, Any]) -> bool:
    """Whether a chat may ask for a picture, so that somebody has to decide whether it does."""
    said = any(request.get(name) for name in _NOT_OF_PICTURES)
    return not said and request["messages"][-1]["role"] == "user" and not pictures.shown_tokens(request)


def _conducted(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request of the conductor's call: the last part of the conversation."""
    turns = [f"{one['role']}: {' '.join(token_estimates.texts_of(one))}" for one in request["messages"]]
    shown = "\n".join(turns).encode(errors="replace")[-CONDUCTOR_BYTES:].decode(errors="ignore")
    messages = [{"role": "system", "content": CONDUCTOR}, {"role": "user", "content": QUESTION + shown}]
    return {"messages": messages, "max_tokens": CONDUCTOR_LIMIT, "temperature": 0}


def _wanted_picture(conductor: Finished | None) -> str | None:
    """The prompt of the picture that the conductor found to be asked for; None: it found none."""
    said = (_content(conductor) or "").strip() if conductor else ""
    return said.removeprefix(_PICTURE).strip()[:_MOST_PROMPT] if said.startswith(_PICTURE) else None


def _content(finished: Finished) -> str | None:
    content: str | None = finished.body["choices"][0]["message"].get("content")
    return content


def _whole(asked: Asked, last: Finished, finished: Sequence[Finished]) -> FinalAnswer | None:
    """The answer that a step gave; None when it had to be JSON and is not."""
    choice = dict(last.body["choices"][0])
    message = dict(choice["message"])
    if json_answers.wanted(asked.request) and not message.get("tool_calls"):
        content = json_answers.read(message.get("content"), of_schema=json_answers.has_schema(asked.request))
        if content is None:
            return None
        message["content"] = content
    body = {**last.body, "model": asked.model, "choices": [{**choice, "message": message}]}
    return FinalAnswer(body, _details(asked, finished))


def _repair(asked: Asked, by: Mapping[str, Finished], last: Finished) -> Step:
    request = _told(asked, by)
    messages = json_answers.repair(request["messages"], _content(last), _limit(asked.request))
    return Step("repair", "chat.completion", {**request, "messages": messages}, _role(request))


def _not_json(asked: Asked, last: Finished) -> Failure:
    """No JSON could be had: since the limit cut it off, which is for the caller to change, or else."""
    if last.body["choices"][0]["finish_reason"] == "length":
        said = f"max_tokens: the JSON object was cut off at {_limit(asked.request):,} tokens; allow more"
        return Failure(InvalidRequest(said, param="max_tokens", reason="max_tokens_reached"))
    return Failure(UpstreamError("the model did not return a valid JSON object, twice", reason="invalid_json"))


def _picture(asked: Asked, by: Mapping[str, Finished], finished: Sequence[Finished]) -> FinalAnswer | Failure:
    made = by["image"].body
    message = pictures.message(made, _wanted_picture(by.get("conductor")) or "")
    if message is None:
        return Failure(UpstreamError("the provider returned no image data", reason="empty"))
    head = by["conductor"].body
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {**head, "created": made["created"], "model": asked.model, "choices": [choice]}
    return FinalAnswer(body, _details(asked, finished))


def _details(asked: Asked, finished: Iterable[Finished]) -> dict[str, Any]:
    """`usage_details`: the counts by what they are of; those of pictures where there are some."""
    of_text = [one for one in finished if one.name not in ("image", "search")]
    shown = pictures.shown_tokens(asked.request) * sum(one.name != "conductor" for one in of_text)
    searched = sum(one.counted.prompt_tokens for one in finished if one.name == "search")
    made = sum(one.counted.completion_tokens for one in finished if one.name == "image")
    details = {
        "text_prompt_tokens": sum(one.counted.prompt_tokens for one in of_text) - shown,
        "text_completion_tokens": sum(one.counted.completion_tokens for one in of_text),
    }
    details |= {"input_image_tokens": shown} if shown else {}
    details |= {"output_image_tokens": made} if made else {}
    details |= {"grounding_tokens": searched} if searched else {}
    return {"usage_details": details}

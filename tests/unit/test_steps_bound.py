"""Whatever a team's models answer and report within what they were sent, its job costs no more than was held."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.money.pricing import input_bound, price_of_all
from shared.strict_json import dumps
from shared.submissions import quote
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import Usage, read_submission
from shared.submissions.steps.conducting import Finished, Step
from tests import pictures
from workers.running import walks
from workers.running.walks import Walk

MODEL = "euqai-fusion-v1"
TEXTS = st.text(min_size=1, max_size=400)
SIDES = st.integers(1, 3000)
ANSWERS = st.one_of(st.sampled_from(["TEXT", "IMAGE: a cat", '{"a": 1}', "no JSON", ""]), TEXTS)


def requests() -> st.SearchStrategy[dict[str, Any]]:
    """Chats of one to three messages, the last with or without pictures; some in JSON mode, some with a limit."""
    turns = st.lists(st.builds(lambda text: {"role": "user", "content": text}, TEXTS), min_size=1, max_size=3)
    shown = st.lists(st.builds(lambda w, h: pictures.data_url(pictures.png(w, h)), SIDES, SIDES), max_size=3)
    more = st.fixed_dictionaries(
        {}, optional={"max_tokens": st.integers(1, 8192), "response_format": st.just({"type": "json_object"})}
    )
    return st.builds(_request, turns, shown, more)


def _request(turns: list[dict[str, Any]], shown: list[str], more: dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in shown]
    last = {"role": "user", "content": [{"type": "text", "text": "?"}, *parts]} if parts else turns[-1]
    return {"model": MODEL, "messages": [*turns[:-1], last], **more}


def most(step: Step, said: str) -> tuple[dict[str, Any], Usage]:
    """An answer that says this, with as much usage as its call can have."""
    if step.type == "image":
        return {"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}]}, Usage(images=1, size="1024x1024")
    messages = step.request["messages"]
    texts = [{**one, "content": one["content"] if isinstance(one["content"], str) else "?"} for one in messages]
    sent = input_bound(text_bytes=len(dumps(texts)), overheads=catalogue().overheads, messages=len(messages))
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice]}, Usage(sent, step.request["max_tokens"])


def walked(walk: Walk, answers: list[str]) -> Walk:
    """The same at its end, when each call has been answered with the next of these."""
    while isinstance(walk.next, Step):
        body, usage = most(walk.next, answers[len(walk.finished) % len(answers)])
        finished = Finished(walk.next.name, body, walk.conductor.counted(walk.asked, walk.next, usage))
        walk = walk.after(finished, walk.own[0])
    return walk


@given(body=requests(), answers=st.lists(ANSWERS, min_size=1, max_size=3))
def test_the_hold_bounds_every_way_that_the_steps_may_go(body: dict[str, Any], answers: list[str]) -> None:
    submission = read_submission("chat.completion", body)
    offers = quote.offers(submission, catalogue(), test=False)
    walk = walks.of(MODEL, submission.request, offers, ())
    assert walk is not None
    whole = walked(walk, answers)
    assert 1 <= len(whole.finished) <= 2 and len({one.name for one in whole.finished}) == len(whole.finished)
    assert price_of_all(whole.spent) <= offers[0].bound_micros
    total = walks.total([one.counted for one in whole.finished])
    assert total.prompt_tokens == sum(one.counted.prompt_tokens for one in whole.finished)


def test_a_team_without_one_of_its_models_is_refused() -> None:
    """As where the operator's file has taken one out since the process started."""
    whole = catalogue()
    lacking = replace(whole, models={id: row for id, row in whole.models.items() if id != "image-gen-2"})
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(InvalidRequest, match="image-gen-2, by which it is served"):
        quote.offers(read_submission("chat.completion", body), lacking, test=False)


def test_what_only_a_team_s_model_is_sent_is_held_for() -> None:
    """Thoughts of earlier turns, which the model that is sold takes no more than its provider does."""
    known = catalogue()
    sold = known.models[MODEL].conductor
    assert sold is not None
    thought = {"role": "assistant", "content": "Yes.", "reasoning_content": "word " * 20_000}
    turns = [{"role": "user", "content": "?"}, thought, {"role": "user", "content": "?"}]
    asked = read_submission("chat.completion", {"model": MODEL, "messages": turns})

    def held(*takes: str) -> int:
        text = sold.roles["text"]
        sending = known.sending(text).model_copy(update={"takes": frozenset(takes)})
        team = replace(known, sendings={**known.sendings, text: sending})
        return quote.offers(asked, team, test=False)[0].bound_micros

    price = known.prices[MODEL].input
    assert price is not None and held("reasoning_content") - held() >= 20_000 * price // 1_000_000

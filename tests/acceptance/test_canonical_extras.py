"""The canonical extras are taken in every dialect, but where its own document forbids one."""

from typing import Any

import orjson
import pytest

from producer.dialects import DIALECTS
from tests import pictures
from tests.acceptance.extras import ask, body_of, text_of
from tests.acceptance.stack import Account, Stack
from tests.conditions import await_condition

SCHEMA = {"name": "answer", "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}
SELECTED = {"llms": ["gpt-4", "claude-3-sonnet"], "max_output_cost": 1}
EXTRAS: dict[str, dict[str, Any]] = {
    "repetition_penalty": {"repetition_penalty": 1.1},
    "top_p": {"top_p": 0.8},
    "stop": {"stop": ["\n\n", "END"]},
    "a stop": {"stop": "END"},
    "JSON": {"response_format": {"type": "json_object"}},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    "metadata": {"metadata": {"team": "a"}},
    "language": {"language": "nl"},
    "thinking": {"include_thinking": True},
    "grounding": {"grounding": True},
    "a selection": {"model": SELECTED},
}
#: Euqai's document has one model, which answers.
FORBIDDEN = {("euqai", "a selection")}
CELLS = [(dialect, name) for dialect in DIALECTS for name in EXTRAS if (dialect.name, name) not in FORBIDDEN]


@pytest.mark.parametrize("dialect, name", CELLS, ids=[f"{dialect.name}-{name}" for dialect, name in CELLS])
def test_it_is_taken(account: Account, dialect: Any, name: str) -> None:
    answer = ask(account, dialect, "What is the answer?", **EXTRAS[name])
    assert answer.status_code == 200, answer.text
    job = account.live.get(f"/jobs/{answer.headers['fusionai-job-id']}").json()
    assert text_of(answer.json()) and job["status"] == "succeeded"
    if name == "metadata":
        assert job["metadata"] == {"team": "a"}
    if name == "a selection":
        assert job["served_by"]["model"] in SELECTED["llms"]
    if name in ("JSON", "a schema"):
        assert text_of(answer.json()).startswith("{")


@pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
def test_a_model_that_is_left_out_is_selected_where_the_document_lets_it(account: Account, dialect: Any) -> None:
    answer = ask(account, dialect, "hello", model=None)
    assert answer.status_code == (200 if dialect.name in ("fusionai", "infuzu") else 400), answer.text
    assert answer.status_code == 200 or "model" in answer.text


@pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
def test_pictures_are_taken_but_where_the_document_has_text_alone(account: Account, dialect: Any) -> None:
    url = pictures.data_url(pictures.png(16, 16))
    parts: list[dict[str, Any]] = [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": url}}]
    if dialect.name == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]}
        parts[1] = {"type": "image", "source": source}
    elif dialect.name == "responses":
        parts = [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": url}]
    field = "input" if dialect.name == "responses" else "messages"
    answer = ask(account, dialect, "", **{field: [{"role": "user", "content": parts}]})
    assert answer.status_code == (400 if dialect.name == "infuzu" else 200), answer.text
    assert field in body_of(dialect, "")


def test_lines_in_the_form_of_other_dialects_have_them_too(account: Account, stack: Stack) -> None:
    """Grounded, in Dutch, with the reasoning before the answer: as the call itself answers."""
    options = {"grounding": True, "language": "nl", "include_thinking": True}
    lines = [
        {"custom_id": one.name, "url": one.lines.url, "body": body_of(one, "use web_search, and think", **options)}
        for one in DIALECTS
        if one.lines is not None
    ]
    with stack.script({"contains": "and think", "fault": {"kind": "reasoning"}}):
        id = account.live.post("/batches", json={"requests": lines}).json()["id"]
        read = account.live.get
        await_condition(lambda: read(f"/batches/{id}").json()["status"] == "completed", seconds=40, what="the batch")
        text = read(f"/files/{read(f'/batches/{id}').json()['output_file_id']}/content").text
    answers = {one["custom_id"]: one["response"]["body"] for one in map(orjson.loads, text.splitlines())}
    assert answers.keys() == {"responses", "messages"}
    for name, answer in answers.items():
        assert text_of(answer).startswith("<thinking>") and "</thinking>" in text_of(answer), name
    for job in account.live.get("/jobs", params={"batch_id": id}).json()["data"]:
        assert job["result"]["choices"][0]["message"]["annotations"] and len(job["attempts"]) == 3
    assert account.stack.violations() == []

"""What a model is known not to do is refused when it is asked for; what is not known is not refused."""

from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.submissions import quote
from shared.submissions.catalogue import Catalogue, read
from shared.submissions.schemas import read_submission
from tests.pictures import data_url, png

SAY: list[Any] = [{"role": "user", "content": "hi"}]
SEEN: list[Any] = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(png())}}]}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
#: (what is asked for, the capability it takes, the field that the refusal names)
ASKED: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": SEEN}, "vision", "messages[0].content[0].image_url.url"),
    ({"messages": SAY, "tools": [TOOL]}, "tools", "tools"),
    ({"messages": SAY, "response_format": SCHEMA}, "json_schema", "response_format"),
]
ROW = """
[models.{name}]
type = "chat.completion"
provider = "openai"
upstream = "u"
purpose = ""
input = 1
output = 1
max_output = 10
"""


def sold(m: str = "", other: str = "") -> Catalogue:
    """Two models, the second the usual fallback of the first."""
    return read(ROW.format(name="m") + f'fallbacks = ["other"]\n{m}\n' + ROW.format(name="other") + other)


def offered(catalogue: Catalogue, body: dict[str, Any], **more: Any) -> list[str]:
    submission = read_submission("chat.completion", {"model": "m", **body, **more})
    return [offer.model for offer in quote.offers(submission, catalogue, test=False, at="jobs[1].")]


@pytest.mark.parametrize(("body", "capability", "place"), ASKED)
def test_what_a_model_cannot_do_is_a_400_that_names_the_field(
    body: dict[str, Any], capability: str, place: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        offered(sold("capabilities = []"), body)
    assert refused.value.param == f"jobs[1].{place}" and "not supported by m" in refused.value.message
    assert offered(sold(f'capabilities = ["{capability}"]'), body) == ["m", "other"]
    assert offered(sold(), body) == ["m", "other"], "what is not known is not refused"


@pytest.mark.parametrize(("body", "capability", "place"), ASKED)
def test_a_fallback_that_cannot_is_passed_over_unless_the_caller_named_it(
    body: dict[str, Any], capability: str, place: str
) -> None:
    poor = sold(other="capabilities = []")
    assert offered(poor, body) == ["m"]
    with pytest.raises(InvalidRequest, match="not supported by other"):
        offered(poor, body, routing={"fallbacks": ["other"]})


def test_a_model_that_can_do_nothing_more_answers_all_the_same() -> None:
    poor = sold("capabilities = []")
    for more in ({}, {"response_format": {"type": "json_object"}}, {"reasoning_effort": "low"}):
        assert offered(poor, {"messages": SAY, **more})[0] == "m"

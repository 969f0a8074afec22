"""The limit of an answer whose caller names none: a model's own, where its row of the catalogue has one."""

from pathlib import Path

import pytest

from shared.errors import InvalidRequest
from shared.settings import settings
from shared.submissions import catalogue, quote
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from tests.catalogues import DEAR, written

SHORT = DEAR + "default_max_tokens = 500\n"


def offer(row: str, directory: Path, monkeypatch: pytest.MonkeyPatch, **body: object) -> Offer:
    monkeypatch.setattr(settings(), "catalogue", written(directory, row))
    catalogue.forget()
    try:
        asked = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], **body}
        return quote.offers(read_submission("chat.completion", asked), catalogue.catalogue(), test=False)[0]
    finally:
        monkeypatch.undo()
        catalogue.forget()


def test_only_so_much_is_held_for_and_it_is_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, short = (offer(row, tmp_path, monkeypatch) for row in (DEAR, SHORT))
    asked = offer(DEAR, tmp_path, monkeypatch, max_tokens=500)
    assert (usual.max_output, short.max_output) == (4096, 500)  # the limit that workers send where none is named
    price = 6_000_000_000 // 1_000_000
    assert usual.bound_micros - short.bound_micros == (4096 - 500) * price
    assert short.bound_micros < asked.bound_micros < short.bound_micros + 20 * 3000  # by the bytes of the field


def test_a_caller_may_ask_for_more_up_to_what_the_model_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offer(SHORT, tmp_path, monkeypatch, max_tokens=4096).max_output == 4096
    with pytest.raises(InvalidRequest, match="exceeds the maximum of 4096"):
        offer(SHORT, tmp_path, monkeypatch, max_tokens=4097)

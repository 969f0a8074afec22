"""Prices and models change while processes run; a file that cannot be used changes nothing."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.submissions import catalogue as module
from shared.submissions import catalogue_reload, quote
from shared.submissions.catalogue import catalogue, job_queues
from shared.submissions.schemas import read_submission

ROW = """
[models.{name}]
type = "chat.completion"
provider = "{provider}"
upstream = "u"
purpose = ""
input = {price}
output = {price}
max_output = 10
"""
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def row(name: str = "m", provider: str = "openai", price: int = 1_000_000) -> str:
    return ROW.format(name=name, provider=provider, price=price)


class File:
    """The operator's file; each text that is written counts as a change, however fast one follows another."""

    def __init__(self, path: Path) -> None:
        self.path, self.times = path, 0

    def write(self, text: str) -> None:
        self.times += 1
        self.path.write_text(text)
        os.utime(self.path, ns=(self.times, self.times))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[File]:
    made = File(tmp_path / "mine.toml")
    monkeypatch.setattr(module.settings(), "catalogue", str(made.path))
    monkeypatch.setattr(catalogue_reload, "LOOK_SECONDS", 0.0)
    module.forget()
    yield made
    monkeypatch.undo()
    module.forget()


def offered(model: str) -> Any:
    (offer,) = quote.offers(read_submission("chat.completion", {"model": model, **BODY}), catalogue(), test=False)
    return offer


def test_a_changed_price_is_that_of_later_jobs_and_not_of_those_accepted(file: File) -> None:
    file.write(row())
    before, offer = catalogue(), offered("m")
    assert catalogue() is before
    file.write(row(price=3_000_000))
    assert offered("m").input == 3_000_000 and offer.price.input == 1_000_000
    assert offered("m").version != offer.version and before.prices["m"].input == 1_000_000
    file.write("")
    assert "m" not in catalogue().models and "gpt-4" in catalogue().models


def test_a_file_that_cannot_be_used_is_logged_once_and_the_one_before_it_stays(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(row())
    before = catalogue()
    for text in ("[models.m]\ncolour = 1\n", "[models", "\udcff"):
        caplog.clear()
        file.path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert catalogue() is before and catalogue() is before
        errors = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert len(errors) == 1 and "the one before it stays" in errors[0].getMessage()
    file.path.unlink()
    assert catalogue() is before
    file.write(row(price=2_000_000))
    assert catalogue().prices["m"].input == 2_000_000


def test_the_fault_is_in_the_log_with_its_line(file: File, caplog: pytest.LogCaptureFixture) -> None:
    file.write(row())
    catalogue()
    file.write(row().replace("input =", "imput ="))
    catalogue()
    assert f"{file.path}:7: models.m.imput: unknown key; did you mean 'input'?" in caplog.text


def test_a_provider_that_is_new_here_waits_for_a_restart_and_one_that_is_gone_keeps_its_queues(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(row("local", "vllm") + row("m"))
    queues = job_queues()
    assert "vllm.realtime" in queues
    file.write(row("m") + row("other", "groq"))
    assert not {"local", "other"} & set(catalogue().models) and "m" in catalogue().models
    assert job_queues() == queues and "vllm" in catalogue().providers
    assert "other needs a restart: groq is new here" in caplog.text
    module.forget()
    assert "other" in catalogue().models and "vllm.realtime" not in job_queues()


def test_how_a_provider_is_called_waits_for_a_restart_and_what_it_is_sent_does_not(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(row())
    before = catalogue().providers["openai"]
    file.write(
        '[providers.openai]\nprotocol = "openai"\nbase_url = "https://b/v1"\nkey = "K"\nomit = ["user"]\n' + row()
    )
    now = catalogue()
    assert now.providers["openai"].base_url == before.base_url and "provider openai needs a restart" in caplog.text
    assert "user" in now.sending("m").omit


def test_what_needs_no_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_reload, "LOOK_SECONDS", 0.0)
    assert catalogue() is catalogue()

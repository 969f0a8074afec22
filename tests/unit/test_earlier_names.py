"""Processes are found by the names that service files of the version before say."""

import runpy
import sys

import pytest

from shared.broker.app import app
from shared.queue import app as earlier


@pytest.mark.parametrize(
    ("name", "now"),
    [("workers.sweep", "workers.maintenance.sweep"), ("workers.probation", "workers.process.probation")],
)
def test_a_process_is_started_by_its_earlier_name(name: str, now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    __import__(now)
    monkeypatch.setattr(sys.modules[now], "main", lambda: started.append(now))
    monkeypatch.delitem(sys.modules, name, raising=False)  # another test may have imported it
    runpy.run_module(name, run_name="__main__")
    assert started == [now]


def test_flower_finds_the_celery_app_by_its_earlier_name() -> None:
    assert earlier is app

"""A database that is silent is not asked by everybody in turn; one that answers, though slowly, is."""

from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from shared import clock
from shared.db import Database


class Slow:
    """An engine whose connections take two seconds to fail."""

    def __init__(self, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._error = OperationalError("connect", None, psycopg.OperationalError(why))
        self._now, self.asked = 0.0, 0
        monkeypatch.setattr(clock, "monotonic", lambda: self._now)

    def connect(self) -> Any:
        self._now, self.asked = self._now + 2.0, self.asked + 1
        raise self._error

    def wait(self, seconds: float) -> None:
        self._now += seconds


@pytest.mark.parametrize(
    ("why", "asked"),
    [
        ("connection timeout expired", 2),
        ('connection to server at "db" failed: FATAL:  sorry, too many clients already', 3),
    ],
)
def test_after_silence_it_is_let_be_for_a_moment(why: str, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nowhere", threads=1)
    slow = Slow(why, monkeypatch)
    monkeypatch.setattr(database, "engine", slow)
    for pause in (0.0, 0.1, 1.0):
        slow.wait(pause)
        with pytest.raises(OperationalError):
            database._connect()
    assert slow.asked == asked

"""The page of the documents' statements: each has its number, and tests that are there or a reason why not."""

import re
from typing import NamedTuple

import pytest

from producer.dialects import DIALECTS
from tests.unit.test_documents import ROOT, names_in, text_of

PAGE = "deploy/statements.md"
#: Where tests are that are named without a folder.
USUAL = "tests/acceptance"
#: Dialects beside the five documents: the official SDKs of OpenAI and Anthropic, unmodified, are their tests.
ELSEWHERE = {"responses", "messages"}
#: How a reason begins.
REASONS = ("Not about this system: ", "With the SDKs: ")

_SECTION = re.compile(r"^## .+ \(`(\w+)`, (\d+) statements\)$", re.M)
_TEST = re.compile(r"`([\w/]+\.py)::([\w.]+)`")


class Statement(NamedTuple):
    """A row: its number, what the document says, and its tests or the reason."""

    number: str
    said: str
    held: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """The file and the function of each test."""
        named = _TEST.findall(self.held)
        return [(file if "/" in file else f"{USUAL}/{file}", function) for file, function in named]


def sections() -> dict[str, tuple[int, list[Statement]]]:
    """How many statements each document is said to have, and its rows, by the dialect's name."""
    _, *parts = _SECTION.split(text_of(PAGE))
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {name: (int(count), rows(text)) for name, count, text in found}


def rows(text: str) -> list[Statement]:
    cells = [line.strip("|").split(" | ") for line in text.splitlines() if re.match(r"\| [A-Z]\d+ \|", line)]
    return [Statement(*map(str.strip, row)) for row in cells]


STATEMENTS = {row.number: row for _, listed in sections().values() for row in listed}


def test_each_document_has_its_section() -> None:
    assert set(sections()) >= {one.name for one in DIALECTS} - ELSEWHERE


@pytest.mark.parametrize("name", sections())
def test_each_statement_is_there_once_and_in_its_place(name: str) -> None:
    count, listed = sections()[name]
    letter = listed[0].number[0]
    assert [row.number for row in listed] == [f"{letter}{n}" for n in range(1, count + 1)]


@pytest.mark.parametrize("row", STATEMENTS.values(), ids=list(STATEMENTS))
def test_a_statement_has_tests_or_a_reason(row: Statement) -> None:
    assert row.said
    if not row.tests:
        assert row.held.startswith(REASONS), row
    for file, function in row.tests:
        assert function.rpartition(".")[2].startswith("test_") and (ROOT / file).is_file(), (file, function)
        assert function in names_in(file), (file, function)

"""Every regular expression that may read a stranger's text is linear: none can be made to hold the event loop."""

import json
import re
import subprocess
import sys

import pytest
from pydantic import BaseModel

from producer.app import make_app
from producer.operations.usage_csv import guarded
from shared.answers.streams import read_event_id
from shared.errors import InvalidRequest
from tests import patterns
from tests.patterns import Found

PACKAGES = ("producer", "shared", "workers")


@pytest.fixture(scope="module")
def found() -> list[Found]:
    """Every one of ours, and those that the router makes of our routes."""
    routes = [Found(route.path, route.path_regex.pattern, methods={"match"}) for route in make_app().routes]  # type: ignore[attr-defined]
    return [*patterns.collect(PACKAGES), *routes]


def slow_among(found: list[Found]) -> str:
    """The first that takes too long, with the text on which it does; empty when none does."""
    rows = {
        (one.pattern.decode("latin-1") if isinstance(one.pattern, bytes) else str(one.pattern), one.flags): one
        for one in found
    }
    asked = [
        [one.place, pattern, flags, sorted(one.methods), isinstance(one.pattern, bytes)]
        for (pattern, flags), one in rows.items()
    ]
    run = subprocess.run(
        [sys.executable, "-m", "tests.patterns"], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    last = run.stdout.rstrip().rpartition("\n")[2]
    assert run.returncode <= 0, run.stderr
    return "" if run.returncode == 0 and last == "linear" else last


def test_each_is_found_and_linear(found: list[Found]) -> None:
    places = {one.place for one in found}
    assert {
        "shared.answers.streams._EVENT_ID",
        "producer.operations.usage_csv._FORMULA",
        "workers.simulator.routes._ROWS",
    } <= places
    assert not [one.place for one in found if one.pattern is None], "only literals, or what is compiled at the import"
    assert slow_among(found) == ""


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"([1-9]\d{0,15})-(\d{1,16})/((?:\d{1,3}(?:[crlmf]|t\d{1,4})=\d{1,12},?)*)", "fullmatch"),
        (r"((?:^|[;\t\r\n])\s*)(?=[=+\-@])", "sub"),
        (r"(a+)+b", "match"),
        (r"([a-z]+)*\.", "fullmatch"),
        (r"\s+$", "search"),
        (r"(?:x|xx)*y", "match"),
        (r"^(\w+\s?)*$", "match"),
        (r".*,.*,.*;", "match"),
        (r"[a-z]+/", "findall"),
    ],
)
def test_one_that_is_not_is_caught(pattern: str, method: str) -> None:
    assert slow_among([Found("here", pattern, methods={method})]).startswith("here")


def test_digits_are_those_of_ascii(found: list[Found]) -> None:
    """`\\d` takes a hundred alphabets' digits, and `int` reads them; nobody downstream does."""
    wide = [one.place for one in found if isinstance(one.pattern, str) and r"\d" in one.pattern]
    assert not wide


def test_the_shapes_of_bodies_use_an_engine_that_is_linear() -> None:
    """pydantic's own, in Rust; its `\\d` is as wide as Python's."""
    for shape in _shapes(BaseModel):
        assert shape.model_config.get("regex_engine", "rust-regex") == "rust-regex"
        schema = json.dumps(shape.model_json_schema()) if shape.__module__.startswith("shared.") else ""
        assert '"pattern": "' not in schema or r"\\d" not in schema, shape


def _shapes(shape: type[BaseModel]) -> list[type[BaseModel]]:
    own = [one for one in shape.__subclasses__() if one.__module__.partition(".")[0] in PACKAGES]
    return own + [inner for one in shape.__subclasses__() for inner in _shapes(one)]


def test_a_forged_last_event_id_is_refused_at_once() -> None:
    for forged in ("12345678-1-1/" + "0c=1111" * 2000 + "!", "12345678-1-1/" + "0c=1111" * 60 + "!"):
        with pytest.raises(InvalidRequest):
            read_event_id(forged, "job_12345678")
    sent = "0c=12,0t3=4,1f=1"
    assert str(read_event_id(f"12345678-2-7/{sent}", "job_12345678")) == f"12345678-2-7/{sent}"
    assert str(read_event_id("12345678-2-7/", "job_12345678")) == "12345678-2-7/"
    for wrong in (",", "0c=1,", ",0c=1", "0c=10c=1", "0c=\u0663", "0c"):
        with pytest.raises(InvalidRequest):
            read_event_id(f"12345678-2-7/{wrong}", "job_12345678")


def test_a_cell_of_nothing_but_tabs_is_guarded_like_any_other() -> None:
    tabs = "\t" * 512
    assert guarded(tabs) == tabs
    assert guarded(tabs + "=1") == tabs + "'=1"
    old = re.compile(r"((?:^|[;\t\r\n])\s*)(?=[=+\-@])")
    for text in (" =1", "a;  =1", "\t\r\n =1", "a =1", "=1;=2\t=3", "\r=\n=", "; \t =x", "\x0b=1", "\u2003=1"):
        assert guarded(text) == old.sub(r"\1'", text)

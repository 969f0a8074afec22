"""What the documents name is there: files, functions, links, make targets, commands, settings, packages, metrics."""

import ast
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import click
import pytest

from producer import metrics
from producer.cli import COMMANDS, main
from producer.openapi import parts
from shared.environment import url_name
from shared.objects.events import event_object
from shared.settings import Settings
from shared.submissions.catalogue import catalogue
from shared.webhooks import events

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (ROOT, ROOT / "deploy", ROOT / "deploy" / "adr")
    for path in folder.glob("*.md")
)
TOP = ("producer", "workers", "shared", "tests", "deploy")

_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_INDENTED = re.compile(r"^    .*$", re.M)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_FUNCTION = re.compile(r"([\w./-]+\.py):([A-Za-z_][\w.]*)")
_PATH = re.compile(rf"(?:{'|'.join(TOP)})(?:/[\w.-]+)*/?")
_MODELS = re.compile(r'(?:\bmodel=|"model": ?)("[^"]+")|"llms": ?\[([^\]]+)\]')
#: What stands for a name in a path is no path.
_EXAMPLE = re.compile(r"NAME|NNNN|…")


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def code_of(document: str) -> list[str]:
    """Everything that is written as code: spans, and the lines of blocks."""
    text = text_of(document)
    blocks = [line for block in _FENCE.findall(text) for line in block.splitlines()[1:-1]]
    rest = _FENCE.sub("", text)
    return [*_SPAN.findall(rest), *blocks, *_INDENTED.findall(rest)]


@lru_cache
def names_in(file: str) -> frozenset[str]:
    """What a module defines at its top: functions, classes, constants; and methods and fields as `Class.name`."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        for name in _defined(node):
            found.add(name)
            if isinstance(node, ast.ClassDef):
                found.update(f"{name}.{inner}" for part in node.body for inner in _defined(part))
    return frozenset(found)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_functions_are_there(document: str) -> None:
    wrong = [
        f"{file}:{name}"
        for code in code_of(document)
        for file, name in _FUNCTION.findall(code)
        if not (ROOT / file).is_file() or name not in names_in(file)
    ]
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_are_there(document: str) -> None:
    wrong = [
        path
        for span in _SPAN.findall(_FENCE.sub("", text_of(document)))
        if _PATH.fullmatch(path := span.partition(":")[0]) and not _EXAMPLE.search(path)
        if not (ROOT / path).exists()
    ]
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    wrong = []
    for target in _LINK.findall(_FENCE.sub("", text_of(document))):
        if target.startswith(("http://", "https://")):
            continue
        place, _, section = target.partition("#")
        file = (ROOT / document).parent / place if place else ROOT / document
        if not file.exists() or (section and section not in sections(file)):
            wrong.append(target)
    assert wrong == []


def sections(file: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", file.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def targets() -> set[str]:
    (listed,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    return set(listed.split())


@pytest.mark.parametrize("document", ["README.md", "deploy/using.md"])
def test_models_in_examples_are_sold(document: str) -> None:
    code = "\n".join(code_of(document))
    named = [name for pair in _MODELS.findall(code) for name in re.findall(r'"([^"]+)"', f"{pair[0]}{pair[1]}")]
    assert {catalogue().model(name).type for name in named}  # model() raises for one that is not there


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_are_there(document: str) -> None:
    named = {
        target
        for code in code_of(document)
        for target in re.findall(r"^\s*(?:\$ )?make (?:[A-Z_]+=\S+ )*([a-z][a-z-]*)", code)
    }
    assert named <= targets()


def test_each_make_target_has_a_line_of_help() -> None:
    helped = set(re.findall(r"^([a-z-]+):.*## \S", (ROOT / "Makefile").read_text(), re.M))
    assert helped == targets()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_there(document: str) -> None:
    wrong = [
        " ".join((first, second))
        for code in code_of(document)
        for first, second in re.findall(
            r"(?<![\w./-])(?<!from )(?<!user )fusionai ([a-z][a-z-]*)(?: ([a-z][a-z-]*)(?![\w./-]))?", code
        )
        if not is_command(first, second)
    ]
    assert wrong == []


def is_command(first: str, second: str) -> bool:
    if first not in COMMANDS:
        return False
    command = main.get_command(click.Context(main), first)
    return not (second and isinstance(command, click.Group)) or second in command.commands


def test_each_command_has_its_row() -> None:
    assert re.findall(r"^\| `fusionai (\w+)` \|", text_of("deploy/using.md"), re.M) == list(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_are_there(document: str) -> None:
    known = {f"FUSIONAI_{name.upper()}" for name in Settings.model_fields}
    known |= {url_name(name) for name in [*catalogue().providers, "NAME"]}
    named = re.findall(r"FUSIONAI_[A-Z_]+[A-Z](?:_?\*)?", text_of(document))
    wrong = [
        name
        for name in named
        if not (any(one.startswith(name.rstrip("*")) for one in known) if name.endswith("*") else name in known)
    ]
    assert wrong == []


def test_the_map_has_each_package_once() -> None:
    text = text_of("ARCHITECTURE.md").partition("## The map")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = [span for row in rows for span in _SPAN.findall(row) if _PATH.fullmatch(span) and not span.endswith(".py")]
    packages = {
        path.parent.relative_to(ROOT).as_posix()
        for top in ("producer", "workers", "shared")
        for path in (ROOT / top).rglob("__init__.py")
        if path.parent.name != "versions" and "node_modules" not in path.parts
    }
    assert packages <= set(named)
    assert sorted(set(named)) == sorted(named)


def test_each_decision_is_listed_twice_by_its_title() -> None:
    adr = ROOT / "deploy" / "adr"
    titles = {path.name: path.read_text().splitlines()[0] for path in sorted(adr.glob("[0-9]*.md"))}
    listed = re.findall(r"^(\d+)\. \[(.+?)\]\((.+?)\)$", text_of("deploy/adr/README.md"), re.M)
    assert {name: f"# {number}. {title}" for number, title, name in listed} == titles
    again = re.findall(r"^(\d+)\. \[(.+?)\]\(deploy/adr/(.+?)\)$", text_of("ARCHITECTURE.md"), re.M)
    assert again == listed


def test_each_metric_has_its_row_and_no_other() -> None:
    shown = metrics.render(metrics.Reading({}, {})).decode()
    families = re.findall(r"^# HELP (\S+) ", shown, re.M)
    assert re.findall(r"^\| `(fusionai_\w+)` \|", text_of("deploy/operating.md"), re.M) == families


def test_each_event_is_shown_with_a_body_of_its_own() -> None:
    text = text_of("deploy/events-and-errors.md")
    shown = {
        body["type"]: body for body in map(json.loads, re.findall(r"^    (\{.*\"object\":\"event\".*\})$", text, re.M))
    }
    assert list(shown) == list(events.TYPES)
    for body in shown.values():
        row = {**body, "created_at": body["created_at"] * 10**6, "data": json.dumps(body["data"]), "test": False}
        assert event_object(row) == body


def test_each_error_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text_of("deploy/events-and-errors.md"), re.M)
    assert rows == [(kind.type, str(kind.status)) for kind in sorted(parts.every_error(), key=lambda kind: kind.status)]

"""The Procfile: what is read, what is refused, how a command becomes an argument list."""

import sys

import pytest

from producer.stack import procfile
from producer.stack.procfile import ProcfileError


def test_commands_are_read_in_order() -> None:
    source = "# comment\n\nweb: python -m a\n  worker-2 :  b --x='1 2'  \n"
    assert list(procfile.parse(source).items()) == [("web", "python -m a"), ("worker-2", "b --x='1 2'")]


@pytest.mark.parametrize("source", ["web python", "web:", ": python", "a: b\na: c"])
def test_a_wrong_line_is_named(source: str) -> None:
    with pytest.raises(ProcfileError, match=r"line [12]: "):
        procfile.parse(source)


def test_a_variable_stays_one_word_and_python_is_this_one() -> None:
    argv = procfile.expand("python -m x --port=$PORT ${WORDS} '$PORT'", {"PORT": "1", "WORDS": "a b; c"})
    assert argv == [sys.executable, "-m", "x", "--port=1", "a b; c", "1"]


@pytest.mark.parametrize("command", ["x $MISSING", "x 'open"])
def test_a_command_that_cannot_be_expanded_is_refused(command: str) -> None:
    with pytest.raises(ProcfileError):
        procfile.expand(command, {})


def test_several_workers_are_numbered() -> None:
    commands = {"web": "w", "worker": "x", "flower": "f"}
    assert procfile.copies(commands, 1) == commands
    assert procfile.copies(commands, 2) == {"web": "w", "worker.1": "x", "worker.2": "x", "flower": "f"}


def test_our_own_procfile_is_read() -> None:
    commands = procfile.parse(procfile.find().read_text())
    assert list(commands) == ["web", "worker", "batches", "sweeper", "flower"]
    for command in commands.values():
        procfile.expand(command, {"FUSIONAI_FLOWER_PORT": "5555"})

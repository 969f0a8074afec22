"""`fusionai` in a real pseudo-terminal of several widths, and in a real pipe: what a person or a script gets."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.environment import inherited
from tests import starting
from tests.acceptance.stack import Account, Stack, chat

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shell:
    """Runs the command as a process, in the stack's environment."""

    def __init__(self, stack: Stack, account: Account) -> None:
        self._environment = {
            **inherited(),
            **stack.environment,
            "FUSIONAI_BASE_URL": f"{stack.url}/v1",
            "FUSIONAI_API_KEY": account.live_key,
        }
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
            self._environment.pop(name, None)

    def in_pipe(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        (output, its_output), (errors, its_errors) = os.pipe(), os.pipe()
        with open(os.devnull, "rb") as nothing:
            environment = self._environment | environment
            process = starting.start_command(words, environment, nothing, its_output, its_errors)
        for end in (its_output, its_errors):
            os.close(end)
        with open(output) as first, open(errors) as second, ThreadPoolExecutor(2) as threads:
            written = list(threads.map(lambda file: file.read(), (first, second)))
        return subprocess.CompletedProcess(words, process.wait(60), *written)

    def in_terminal(self, width: int, *words: object, **environment: str) -> str:
        """All that has been written to the terminal, with its escape sequences."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        environment = {**self._environment, "TERM": "xterm-256color"} | environment
        process = starting.start_command(words, environment, theirs, theirs, theirs)
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65_536):
                written += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        process.wait(10)
        return written.decode().replace("\r\n", "\n")


@pytest.fixture
def shell(stack: Stack, account: Account) -> Shell:
    return Shell(stack, account)


def left_on_screen(text: str) -> str:
    """What is written after the last line was erased, without escape sequences."""
    return ESCAPES.sub("", text.rpartition("\x1b[2K")[2])


def test_models_fit_the_terminal_and_are_whole_in_a_pipe(shell: Shell, account: Account) -> None:
    account.run(chat("so that there are statistics"))
    ids = [one["id"] for one in account.live.get("/models").json()["data"]]
    for width in (60, 80, 200):
        shown = left_on_screen(shell.in_terminal(width, "models")).splitlines()
        assert max(map(len, shown)) <= width, [line for line in shown if len(line) > width]
        assert [line.split()[0] for line in shown[1 : len(ids) + 1]] == ids
        assert {"model", "input", "output"} <= set(shown[0].split())
    assert "capabilities" not in shown[0] and shown[0].split()[:3] == ["model", "provider", "input"]
    piped = shell.in_pipe("models", COLUMNS="40")
    header, *rows = piped.stdout.splitlines()
    assert header.split()[:6] == ["model", "provider", "input", "output", "context", "state"]
    assert [row.split()[0] for row in rows] == ids and all("…" not in row for row in rows)
    assert any(row.endswith("vision tools json_schema reasoning") for row in rows)


def test_the_published_prices_are_compared_within_the_terminal(shell: Shell) -> None:
    for width in (60, 80):
        shown = left_on_screen(shell.in_terminal(width, "models", "sync", "--new")).splitlines()
        assert max(map(len, shown)) <= width, [line for line in shown if len(line) > width]
        assert "text-embedding-3-large" in " ".join(shown) and "Not compared" in " ".join(shown)
    piped = shell.in_pipe("models", "sync", COLUMNS="40")
    assert piped.stdout.splitlines()[1].split()[:3] == ["text-embedding-3-large", "input", "238.095238"]


def test_tables_fit_the_terminal_and_are_whole_in_a_pipe(shell: Shell, account: Account) -> None:
    jobs = [account.run(chat(f"table {n}"))["id"] for n in range(2)]
    for width in (40, 80):
        shown = left_on_screen(shell.in_terminal(width, "jobs"))
        assert max(map(len, shown.splitlines())) <= width
        assert all((id in shown) == (width == 80) and id[-8:] in shown for id in jobs)
    piped = shell.in_pipe("jobs", "--limit", "1", COLUMNS="20")
    header, row = piped.stdout.splitlines()
    assert header.split() == ["id", "type", "model", "status", "tries", "credits", "created"]
    assert row.split()[:4] == [jobs[1], "chat.completion", "gpt-4", "succeeded"] and "\x1b" not in piped.stdout
    assert piped.stderr.startswith("More: fusionai jobs --after")


def test_colours_are_for_terminals(shell: Shell) -> None:
    assert "\x1b[1;31mError:\x1b[0m" in shell.in_terminal(80, "job", "job_none")
    assert shell.in_terminal(80, "job", "job_none", TERM="dumb").startswith("Error: not found: job")
    refused = shell.in_pipe("job", "job_none")
    assert refused.returncode == 1 and refused.stdout == "" and refused.stderr.startswith("Error: not found: job")


def test_a_batch_is_drawn_in_place_on_a_terminal_and_its_answer_is_alone_in_a_pipe(
    shell: Shell, stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"type": "embedding", "model": "text-embedding-3-large", "input": "[red]x[/]"}\n' * 3)
    drawn = shell.in_terminal(50, "submit", file, "--wait", "-o", tmp_path / "a.out.jsonl")
    assert "\x1b[?25l" in drawn and "0/3" in drawn, "it hides the cursor and draws a bar"
    assert left_on_screen(drawn).startswith("batch      batch_") and "3 of 3\n" in left_on_screen(drawn)
    piped = shell.in_pipe("submit", file, "--wait", "-o", tmp_path / "b.out.jsonl")
    assert piped.stdout.startswith("batch      batch_") and piped.stderr == ""


def test_a_long_command_shows_that_it_is_at_work(shell: Shell) -> None:
    shown = shell.in_terminal(80, "verify")
    assert "Checking every balance" in shown and left_on_screen(shown).startswith("accounts")
    assert shell.in_pipe("verify", "--json").stderr == ""

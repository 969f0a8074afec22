"""What the stack's processes print is in their log files, whether it is shown or not; full files move aside."""

import re
from pathlib import Path

import pytest

from producer.stack import log_files
from producer.stack.log_files import LogFile
from producer.stack.output import ProcessOutput


@pytest.mark.parametrize("quiet", [True, False])
def test_every_line_is_in_the_file_of_its_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    output = ProcessOutput(tmp_path, quiet=quiet)
    output.feed("worker", b"WARNING openai: 214 x 429\nhalf a ")
    output.feed("worker", b"line\r\n")
    output.died("worker", "SIGKILL", 0.1)
    output.close()
    lines = (tmp_path / "worker.log").read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "WARNING openai: 214 x 429",
        "half a line",
    ]
    assert "worker ended (SIGKILL)" in (tmp_path / "stack.log").read_text()
    shown = capsys.readouterr().out
    assert ("worker     | WARNING openai: 214 x 429" in shown) is not quiet
    assert (f"{tmp_path / 'worker.log'}: half a line" in shown) is quiet


def test_a_full_file_moves_aside_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "MOST_BYTES", 50)
    file = LogFile(tmp_path / "web.log")
    for number in range(20):
        file.write(f"line {number}")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["web.log", "web.log.1", "web.log.2"]
    kept = "".join((tmp_path / name).read_text() for name in reversed(names))
    assert [line.split()[-1] for line in kept.splitlines()] == [str(number) for number in range(20)][
        -len(kept.splitlines()) :
    ]
    file.close()


def test_a_log_goes_on_where_it_ended_before(tmp_path: Path) -> None:
    for run in (1, 2):
        file = LogFile(tmp_path / "web.log")
        file.write(f"run {run}")
        file.close()
    assert [line[-5:] for line in (tmp_path / "web.log").read_text().splitlines()] == ["run 1", "run 2"]


def test_a_directory_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    LogFile(tmp_path / "nowhere" / "web.log").write("lost")


def test_what_a_process_prints_is_shown_and_kept_without_what_a_terminal_obeys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ProcessOutput(tmp_path, quiet=False)
    output.feed("worker", "\x1b]0;pwned\x07 \x9b31m \u202eé\n".encode())
    output.announce("\x1b[2J")
    output.close()
    assert "?]0;pwned? ?31m ?é" in capsys.readouterr().out
    for log in ("worker", "stack"):
        assert not set((tmp_path / f"{log}.log").read_text()) & set("\x1b\x07\x9b\u202e")

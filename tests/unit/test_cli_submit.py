"""fusionai submit, batch, batches and cancel: exact files, exit status, and nothing bought twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from producer import cli, filerun
from producer.commands import connection
from tests.unit.batch_server import BatchServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    fake = BatchServer()
    monkeypatch.setattr(connection, "FusionAI", fake.client)
    yield fake


def write(path: Path, inputs: list[str]) -> Path:
    rows = [{"custom_id": f"c{n}", "type": "embedding", "model": "m", "input": input} for n, input in enumerate(inputs)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*words: object, key: str = "fusionai_live_x") -> Result:
    command, *rest = map(str, words)
    return CliRunner().invoke(cli.main, [command, "--base-url", "http://api/v1", "--key", key, *rest])


def stop() -> None:
    raise KeyboardInterrupt


def output_of(server: BatchServer, kind: str) -> bytes:
    (batch,) = server.batches.values()
    return server.contents[batch[f"{kind}_file_id"]]


def test_a_file_is_one_batch_and_the_servers_bytes_are_written(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", [f"text {n}" for n in range(1203)])
    result = run("submit", file, "--wait")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "in.out.jsonl").read_bytes() == output_of(server, "output")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "in.out.jsonl"]
    assert "1,203 of 1,203" in result.output
    assert "120.3 credits" in result.output
    assert "\x1b" not in result.output


def test_every_kind_of_line_becomes_a_batch_line_in_its_place(server: BatchServer, tmp_path: Path) -> None:
    native = {"type": "image", "model": "m", "prompt": "x", "metadata": {"team": "a"}}
    exact = b'{"custom_id":  "mine", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}'
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(native).encode() + b"\r\n\n" + exact)
    assert run("submit", file).exit_code == 0
    (batch,) = server.batches.values()
    sent = server.contents[batch["asked"]["input_file_id"]].split(b"\n")
    assert json.loads(sent[0]) == {
        "custom_id": "line-1",
        "method": "POST",
        "url": "/v1/images/generations",
        "body": {"model": "m", "prompt": "x", "metadata": {"team": "a"}},
    }
    assert sent[1:] == [b"", exact, b""]


def test_some_failures_are_written_apart_and_are_exit_status_3(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "fail", "b"])
    result = run("submit", file, "--wait", "--json", "-o", tmp_path / "kept.out.jsonl")
    assert result.exit_code == 3
    summary = json.loads(result.stdout)
    assert summary["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert summary["credits_used"] == 0.2
    assert summary["written"]["errors"] == str(tmp_path / "kept.errors.jsonl")
    assert (tmp_path / "kept.errors.jsonl").read_bytes() == output_of(server, "error")
    assert json.loads((tmp_path / "kept.errors.jsonl").read_text())["custom_id"] == "c1"


def test_files_of_an_earlier_run_do_not_stay_beside_newer_ones(server: BatchServer, tmp_path: Path) -> None:
    run("submit", write(tmp_path / "in.jsonl", ["fail", "a"]), "--wait")
    run("submit", write(tmp_path / "in.jsonl", ["a"]), "--wait")
    assert not (tmp_path / "in.errors.jsonl").exists()
    run("submit", write(tmp_path / "in.jsonl", ["fail"]), "--wait")
    assert (tmp_path / "in.out.jsonl").read_bytes() == b""


def test_the_same_content_takes_up_the_same_batch(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    assert run("submit", file).exit_code == 0
    assert run("submit", file, "--wait").exit_code == 0
    assert len(server.batches) == 1
    assert run("submit", file, "--wait", "--again").exit_code == 0
    assert len(server.batches) == 2
    run("submit", file, "--again=x")
    run("submit", file, "--again=x")
    assert len(server.batches) == 3
    run("submit", file, key="fusionai_test_x")
    assert len(server.batches) == 4


def test_other_options_for_the_same_content_buy_nothing(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    run("submit", file)
    refused = run("submit", file, "--priority", "9")
    assert refused.exit_code == 1
    assert "submitted already" in refused.output and "--again" in refused.output
    assert run("submit", file.rename(tmp_path / "moved.jsonl")).exit_code == 1
    assert len(server.batches) == 1


def test_ctrl_c_says_how_to_go_on(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    run("submit", file)
    server.before_look = stop
    stopped = run("submit", file, "--wait")
    assert stopped.exit_code == 130
    assert f"fusionai submit {file} --wait" in stopped.stderr
    server.before_look = lambda: None
    looks: list[int] = []
    server.before_look = lambda: looks.append(1) or (stop() if len(looks) == 2 else None)
    stopped = run("submit", write(tmp_path / "other.jsonl", ["c"]), "--wait")
    assert stopped.exit_code == 130
    other = list(server.batches)[1]
    assert f"fusionai batch {other} --wait -o {tmp_path / 'other.out.jsonl'}" in stopped.stderr
    resumed = run("batch", other, "--wait", "-o", tmp_path / "other.out.jsonl")
    assert resumed.exit_code == 0
    assert "1 of 1" in resumed.output
    assert len(server.batches) == 2


def test_a_batch_that_failed_is_told_line_by_line_and_bought_when_it_can_be(
    server: BatchServer, tmp_path: Path
) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    server.faults = [{"code": "invalid_request", "line": 2, "message": "body.model: unknown", "param": "body.model"}]
    for batches in (1, 2):
        result = run("submit", file, "--wait")
        assert result.exit_code == 1
        assert f"{file}:2: body.model: unknown" in result.stderr
        assert not (tmp_path / "in.out.jsonl").exists()
        assert len(server.batches) == batches
    (batch_id, *_) = server.batches
    assert "line 2: body.model: unknown" in run("batch", batch_id).output
    assert "line 2: body.model: unknown" in run("batch", batch_id, "--wait", "-o", tmp_path / "x").stderr
    server.faults = []
    assert run("submit", file, "--wait").exit_code == 0
    assert run("submit", file, "--wait").exit_code == 0
    assert len(server.batches) == 3


def test_an_upload_that_was_deleted_is_sent_again(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a"])
    assert run("submit", file, "--dry-run").exit_code == 0
    server.files.clear()
    assert run("submit", file, "--wait").exit_code == 0
    server.files.clear()
    assert run("submit", file).exit_code == 0
    assert len(server.batches) == 1


def test_a_lost_connection_does_not_end_the_waiting(server: BatchServer, tmp_path: Path) -> None:
    left = 30

    def lose() -> None:
        nonlocal left
        left -= 1
        if 0 < left < 20:
            raise httpx.ConnectError("gone")

    server.before_look = lose
    server.before_look()
    file = write(tmp_path / "in.jsonl", ["a"])
    batch_id = json.loads(run("submit", file, "--json").stdout)["id"]
    left = 20
    result = run("batch", batch_id, "--wait", "-o", tmp_path / "x.jsonl")
    assert result.exit_code == 0, result.output
    assert left <= 0


def test_a_cancelled_batch_is_delivered_with_exit_status_3(server: BatchServer, tmp_path: Path) -> None:
    batch_id = json.loads(run("submit", write(tmp_path / "in.jsonl", ["a"]), "--json").stdout)["id"]
    assert "cancelling" in run("cancel", batch_id).output
    server.cancelled_at_next_look = True
    result = run("batch", batch_id, "--wait", "-o", tmp_path / "x.jsonl")
    assert result.exit_code == 3
    assert "cancelled" in result.output
    assert (tmp_path / "x.jsonl").read_bytes() == output_of(server, "output")


def test_a_dry_run_tells_the_price_and_what_is_wrong(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a"] * 30)
    result = run("submit", file, "--dry-run")
    assert result.exit_code == 1
    assert "15 credits" in result.output and "not enough credits" in result.stderr
    server.available = 15.0
    assert run("submit", file, "--dry-run").exit_code == 0
    server.faults = [{"code": "invalid_request", "line": 3, "message": "no such model", "param": None}]
    result = run("submit", file, "--dry-run")
    assert result.exit_code == 1
    assert f"{file}:3: no such model" in result.stderr
    assert not server.batches


def test_batches_are_shown_and_listed(server: BatchServer, tmp_path: Path) -> None:
    assert "No batches." in run("batches").output
    batch_id = json.loads(run("submit", write(tmp_path / "in.jsonl", ["a", "b"]), "--json").stdout)["id"]
    shown = run("batch", batch_id)
    assert shown.exit_code == 0
    assert "1970-01-01 00:00:05" in shown.output
    assert batch_id in run("batches").output
    assert json.loads(run("batch", batch_id, "--json").stdout)["id"] == batch_id
    missing = run("batch", "batch_none")
    assert missing.exit_code == 1
    assert "there is no batch_none" in missing.output


def test_wrong_lines_stop_everything(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a"])
    file.write_text(file.read_text() + "nope\n" + file.read_text())
    result = run("submit", file)
    assert result.exit_code == 1
    assert f"{file}:2: not JSON" in result.output
    assert f"{file}:3: custom_id 'c0' is already on line 1" in result.output
    assert "2 lines are wrong; nothing was bought" in result.output
    assert not server.batches


def test_a_file_that_is_too_large_is_refused_before_anything_is_sent(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "in.jsonl", ["a"] * 5)
    monkeypatch.setattr(filerun, "MAX_LINES", 4)
    result = run("submit", file)
    assert result.exit_code == 1
    assert "more than 4 lines" in result.output and f"split -l 4 --additional-suffix=.jsonl {file}" in result.output
    monkeypatch.setattr(filerun, "MAX_BYTES", 100)
    assert "more than 0 MB" in run("submit", file).output
    assert not server.files


def test_an_empty_file_is_refused(server: BatchServer, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("\n")
    assert "has no lines" in run("submit", file).output

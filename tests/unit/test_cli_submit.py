"""fusionai submit, batch, batches and cancel: exact files, exit status, and nothing bought twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from fusionai.plain import batch_submission
from producer import cli
from producer.cli import connection
from shared.errors import InvalidRequest
from shared.submissions.catalogue import catalogue
from tests.unit.batch_server import BatchServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    fake = BatchServer()
    monkeypatch.setattr(connection, "PlainClient", fake.client)
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
    assert "2 lines are wrong; nothing was charged" in result.output
    assert not server.batches


def test_a_file_that_is_too_large_is_refused_before_anything_is_sent(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "in.jsonl", ["a"] * 5)
    monkeypatch.setattr(batch_submission, "MAX_LINES", 4)
    result = run("submit", file)
    assert result.exit_code == 1
    assert "more than 4 lines" in result.output and f"split -l 4 --additional-suffix=.jsonl {file}" in result.output
    monkeypatch.setattr(batch_submission, "MAX_BYTES", 100)
    assert "more than 0 MB" in run("submit", file).output
    assert not server.files


def no_model(name: str) -> str:
    """What the server says of a model that it does not know."""
    with pytest.raises(InvalidRequest) as refused:
        catalogue().model(name, param="body.model")
    return refused.value.message


def test_a_fault_of_a_model_keeps_the_server_s_reason(server: BatchServer, tmp_path: Path) -> None:
    server.models = ["gpt-4"]
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    said = "body.model: this API key may not use the model m; it may use: gpt-4, claude-*"
    fault = {"code": "invalid_request", "line": 1, "message": said, "param": "body.model"}
    server.faults = [fault, {**fault, "line": 2, "message": no_model("m")}]
    for words in (["submit", file, "--dry-run"], ["submit", file, "--wait"]):
        assert run(*words).stderr.splitlines()[:2] == [
            f"{file}:1: {said}",
            f"{file}:2: body.model: unknown model 'm'; `fusionai models` lists them",
        ]


def test_all_that_is_wrong_is_one_list_in_the_order_of_lines(server: BatchServer, tmp_path: Path) -> None:
    server.models = ["gpt-4", "claude-3-opus"]
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    rows = file.read_text().splitlines()
    odd = rows[1].replace('"c1"', '"c2"').replace('"m"', '"gpt4"')
    file.write_text("\n".join(["nope", rows[0], odd, rows[0]]) + "\n")
    server.faults = [
        {"code": "invalid_request", "line": 3, "message": no_model("gpt4"), "param": "body.model"},
        {"code": "invalid_request", "line": 2, "message": "body.model: makes no embeddings", "param": "body.model"},
    ]
    for words in (["submit", file], ["submit", file, "--dry-run"], ["submit", file, "--wait"]):
        result = run(*words)
        assert result.exit_code == 1 and result.stdout == ""
        assert result.stderr.splitlines() == [
            f"{file}:1: not JSON: Expecting value at column 1",
            f"{file}:2: body.model: makes no embeddings",
            f"{file}:3: body.model: unknown model 'gpt4'; is gpt-4 meant? `fusionai models` lists them",
            f"{file}:4: custom_id 'c0' is already on line 2",
            "Error: 4 lines are wrong; nothing was charged",
        ]
    assert not server.batches


def test_what_is_wrong_is_json_when_that_is_asked_for(server: BatchServer, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("nope\n")
    result = run("submit", file, "--dry-run", "--json")
    assert result.exit_code == 1
    verdict, error = json.loads(result.stdout), json.loads(result.stderr)["error"]
    assert verdict["valid"] is False and verdict["errors"]["data"] == error["errors"]
    assert error["errors"][0]["line"] == 1 and error["type"] == "invalid_file"
    missing = json.loads(run("batch", "batch_none", "--json").stderr)["error"]
    assert (missing["type"], missing["code"]) == ("not_found", 404)
    wrong = run("batch", "--nope", "--json")
    assert wrong.exit_code == 2 and json.loads(wrong.stderr)["error"]["type"] == "usage"


def test_a_dry_run_never_meets_a_submission(server: BatchServer, tmp_path: Path) -> None:
    server.available = 100
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    assert run("submit", file, "--wait").exit_code == 0
    copy = write(tmp_path / "copy.jsonl", ["a", "b"])
    for _ in range(2):
        assert run("submit", copy, "--dry-run").exit_code == 0
    assert run("submit", file, "--dry-run", "--window", "500h").exit_code == 2
    assert run("submit", file, "--dry-run", "--window", "2d").exit_code == 0
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    ("given", "sent"), [("24h", "24h"), ("2d", "48h"), ("7d", "168h"), ("1h", "1h"), ("0h", ""), ("8d", ""), ("24", "")]
)
def test_a_window_is_in_hours_or_days(server: BatchServer, tmp_path: Path, given: str, sent: str) -> None:
    result = run("submit", write(tmp_path / "in.jsonl", ["a"]), "--window", given)
    assert result.exit_code == (0 if sent else 2), result.output
    assert [batch["asked"]["completion_window"] for batch in server.batches.values()] == ([sent] if sent else [])


def test_a_batch_that_was_done_before_says_that_nothing_was_charged_now(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    first = run("submit", file, "--wait")
    assert "already" not in first.output and "took" in first.output
    again = run("submit", file, "--wait")
    assert again.exit_code == 0
    assert "already done at 1970-01-01 00:00:09; nothing was charged now" in again.output
    assert "took" not in again.output and "0.2 credits then" in again.output
    assert json.loads(run("submit", file, "--wait", "--json").stdout)["already_done"] is True
    short = run("submit", file)
    assert "already done" in short.output and "To follow" not in short.output


def test_failures_are_told_by_reason_and_retried(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "fail", "fail"])
    ended = run("submit", file, "--wait")
    (batch_id,) = server.batches
    out = tmp_path / "in.out.jsonl"
    assert ended.exit_code == 3
    assert 'failed     2: 2 × upstream_error (m), such as "no"' in ended.output
    assert f"to retry   fusionai retry {batch_id} --wait -o {out}" in ended.output
    shown = run("batch", batch_id).output
    assert "2 × upstream_error (m)" in shown and "openai     3/3, 2 failed" in shown
    retried = run("retry", batch_id, "--wait", "-o", out)
    assert retried.exit_code == 0, retried.output
    assert "2 of 2" in retried.output and "already" not in retried.output
    assert out.read_bytes() == server.contents[list(server.batches.values())[1]["output_file_id"]]
    assert not (tmp_path / "in.errors.jsonl").exists()
    assert "nothing was charged now" in run("retry", batch_id).output
    assert len(server.batches) == 2, "the same command takes up the same batch"
    assert run("retry", batch_id, "--reason", "b", "--reason", "a").exit_code == 0
    assert list(server.batches.values())[-1]["asked"] == {"reasons": ["a", "b"]}
    assert run("retry", batch_id, "--again").exit_code == 0
    assert len(server.batches) == 4


def test_a_retry_that_failed_as_a_whole_is_made_anew_when_it_is_asked_for_again(
    server: BatchServer, tmp_path: Path
) -> None:
    run("submit", write(tmp_path / "in.jsonl", ["a", "fail"]), "--wait")
    (batch_id,) = server.batches
    words = ("retry", batch_id, "--wait", "-o", tmp_path / "x.jsonl")
    server.faults = [{"code": "insufficient_credits", "line": None, "message": "1 credit is missing", "param": None}]
    for batches in (2, 3):
        refused = run(*words)
        assert refused.exit_code == 1 and "1 credit is missing" in refused.stderr
        assert len(server.batches) == batches
    server.faults = []
    assert run(*words).exit_code == 0
    assert "nothing was charged now" in run(*words).output and len(server.batches) == 4


@pytest.mark.parametrize("also", [True, False], ids=["beside failures", "alone"])
def test_cancelled_lines_are_retried_by_that_reason_when_there_are_no_others(
    server: BatchServer, tmp_path: Path, also: bool
) -> None:
    batch_id = json.loads(run("submit", write(tmp_path / "in.jsonl", ["a", "fail", "fail"]), "--json").stdout)["id"]
    server.reasons = ["cancelled", "upstream_error"] if also else ["cancelled", "cancelled"]
    run("cancel", batch_id)
    server.cancelled_at_next_look = True
    out = tmp_path / "x.jsonl"
    named = "" if also else " --reason cancelled"
    ended = run("batch", batch_id, "--wait", "-o", out)
    assert f"to retry   fusionai retry {batch_id}{named} --wait -o {out}\n" in ended.output
    assert f"fusionai retry {batch_id}{named}\n" in run("batch", batch_id).output


def test_an_older_servers_batches_end_as_well(server: BatchServer, tmp_path: Path) -> None:
    server.tells_progress = False
    ended = run("submit", write(tmp_path / "in.jsonl", ["a", "fail"]), "--wait")
    assert ended.exit_code == 3 and "failed     1\n" in ended.output
    assert run("batch", next(iter(server.batches))).exit_code == 0


def test_lines_may_come_from_standard_input(server: BatchServer, tmp_path: Path) -> None:
    content = write(tmp_path / "in.jsonl", ["a", "b"]).read_bytes()
    words = ["submit", "-", "--base-url", "http://api/v1", "--key", "fusionai_live_x", "--wait", "-o"]
    result = CliRunner().invoke(cli.main, [*words, str(tmp_path / "x.jsonl")], input=content)
    assert result.exit_code == 0, result.output
    (batch,) = server.batches.values()
    assert len(server.contents[batch["asked"]["input_file_id"]].splitlines()) == 2
    assert (tmp_path / "x.jsonl").exists()


def test_the_end_of_an_id_is_enough(server: BatchServer, tmp_path: Path) -> None:
    batch_id = json.loads(run("submit", write(tmp_path / "in.jsonl", ["a"]), "--json").stdout)["id"]
    assert batch_id in run("batch", f"…{batch_id[-4:]}").output
    assert run("batch", "…zzzz").exit_code == 2


def test_an_empty_file_is_refused(server: BatchServer, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("\n")
    assert "has no lines" in run("submit", file).output


def test_the_fuller_output_of_a_retry_is_not_replaced_by_that_of_the_batch_before(
    server: BatchServer, tmp_path: Path
) -> None:
    file, output = write(tmp_path / "in.jsonl", ["a", "fail", "b"]), tmp_path / "in.out.jsonl"
    assert run("submit", file, "--wait").exit_code == 3
    (first,) = server.batches
    assert run("retry", first, "--wait", "-o", output).exit_code == 0
    (retry,) = set(server.batches) - {first}
    # As the server merges them: the retry's own answer in its place among the first batch's.
    merged = [*output_of_batch(server, first)[:1], *output_of_batch(server, retry), *output_of_batch(server, first)[1:]]
    server.contents[server.batches[retry]["output_file_id"]] = b"".join(merged)
    assert run("retry", first, "--wait", "-o", output).exit_code == 0
    assert output.read_bytes() == b"".join(merged) and not (tmp_path / "in.errors.jsonl").exists()
    again = run("submit", file, "--wait")
    assert again.exit_code == 3 and "left as it is: it has 1 answers more" in again.output
    assert output.read_bytes() == b"".join(merged) and not (tmp_path / "in.errors.jsonl").exists()
    told = json.loads(run("submit", file, "--wait", "--json").stdout)
    assert told["written"] == {"output": str(output), "errors": None, "kept": 1}
    assert told["messages"] == [{"message": "no", "count": 1}]


@pytest.mark.parametrize("kept", [True, False])
def test_an_output_without_any_answer_replaces_no_retrys(server: BatchServer, tmp_path: Path, kept: bool) -> None:
    """Every line had failed at first; that the answers that are there are a retry's, the server knows."""
    file, output = write(tmp_path / "in.jsonl", ["fail", "fail"]), tmp_path / "in.out.jsonl"
    assert run("submit", file, "--wait").exit_code == 3
    (first,) = server.batches
    assert run("retry", first, "--wait", "-o", output).exit_code == 0
    (retry,) = set(server.batches) - {first}
    server.jobs = {"job_c0": retry if kept else "batch_of_another_file"}
    assert run("submit", file, "--wait").exit_code == 3
    assert output.read_bytes() == (b"".join(output_of_batch(server, retry)) if kept else b"")


def test_what_another_batch_has_written_is_replaced(server: BatchServer, tmp_path: Path) -> None:
    output = tmp_path / "in.out.jsonl"
    for content in (b"not ours\n" * 9, b'{"id": "batch_req_other", "custom_id": "c0"}\n' * 9):
        output.write_bytes(content)
        run("submit", write(tmp_path / "in.jsonl", ["a", "b"]), "--wait")
        (batch,) = server.batches
        assert output.read_bytes() == b"".join(output_of_batch(server, batch))


def test_when_all_lines_failed_it_says_why_and_how_often(server: BatchServer, tmp_path: Path) -> None:
    file = write(tmp_path / "nine.jsonl", ["fail"] * 9)
    ended = run("submit", file, "--wait")
    assert ended.exit_code == 3 and "0 of 9" in ended.output and "messages   9 × no\n" in ended.output
    (batch,) = server.batches.values()
    rows = [json.loads(line) for line in server.contents[batch["error_file_id"]].splitlines()]
    for number, row in enumerate(rows):
        row["response"]["body"]["error"]["message"] = f"no\u2028{min(number, 6)} {'x' * 300}"
    server.contents[batch["error_file_id"]] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    messages = run("submit", file, "--wait").output.partition("messages")[2].splitlines()
    assert messages[0].strip().startswith("3 × no 6 xxx") and messages[0].endswith("…")
    assert messages[5].strip() == "2 × something else"


def output_of_batch(server: BatchServer, id: str) -> list[bytes]:
    return server.contents[server.batches[id]["output_file_id"]].splitlines(keepends=True)


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--wait"]])
def test_a_file_in_another_encoding_is_one_fault_and_nothing_is_sent(
    server: BatchServer, tmp_path: Path, options: list[str]
) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b", "c"])
    file.write_bytes(file.read_text().encode("utf-16"))
    result = run("submit", file, *options)
    save = "save it as UTF-8 (PowerShell: -Encoding utf8; editors: Save as, UTF-8)"
    said = f"the file is encoded in UTF-16, not UTF-8; {save}"
    assert result.exit_code == 1 and result.stderr == f"{file}: {said}\nError: nothing was charged\n"
    told = run("submit", file, "--json", *options)
    (fault,) = json.loads(told.stderr)["error"]["errors"]
    assert (fault["code"], fault["line"], fault["message"]) == ("invalid_file", None, said)
    assert server.files == {} and server.batches == {}

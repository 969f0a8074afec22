"""fusionai submit against a server of a few lines: order, summary, exit status, and nothing bought twice."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from producer import cli
from producer.client import FusionAI
from producer.commands import connection


class Server:
    """Accepts jobs once a key; each look finds some of them ended, in an order of its own."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, list[str]] = {}
        self.refuse: dict[str, Any] | None = None
        self.interrupt = False
        self.waits = 0
        self._numbers = itertools.count(1)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return self._accept(request)
        if ids := request.url.params.get("ids"):
            assert len(ids.split(",")) <= 100
            return self._look(ids.split(","))
        self.waits += 1
        return httpx.Response(200, json=self._end(request.url.path.rsplit("/", 1)[1]))

    def _accept(self, request: httpx.Request) -> httpx.Response:
        key, asked = request.headers["Idempotency-Key"], json.loads(request.content)["jobs"]
        if self.refuse is not None and self.jobs:
            return httpx.Response(400, json={"error": self.refuse})
        if key not in self.answers:
            self.answers[key] = [self._make(job) for job in asked]
        return httpx.Response(202, json={"data": [self.jobs[id] for id in self.answers[key]]})

    def _make(self, job: dict[str, Any]) -> str:
        id = f"job_{next(self._numbers):04}"
        self.jobs[id] = {"id": id, "status": "queued", "asked": job, "attempts": []}
        return id

    def _look(self, ids: list[str]) -> httpx.Response:
        if self.interrupt:
            raise KeyboardInterrupt
        for id in ids[::3]:
            self._end(id)
        return httpx.Response(200, json={"data": [self.jobs[id] for id in reversed(ids)]})

    def _end(self, id: str) -> dict[str, Any]:
        job = self.jobs[id]
        failed = job["asked"]["input"] == "fail"
        job["status"] = "failed" if failed else "succeeded"
        job["attempts"] = [{"provider": "p"}] * (2 if failed else 1)
        job["result"] = None if failed else {"echo": job["asked"]["input"]}
        job["error"] = {"type": "upstream_error", "message": "no"} if failed else None
        job["usage"] = {"credits_used": 0 if failed else 0.1}
        return job


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    fake = Server()

    def client(base_url: str, key: str) -> FusionAI:
        return FusionAI(base_url, key, transport=httpx.MockTransport(fake), pause=lambda seconds: None)

    monkeypatch.setattr(connection, "FusionAI", client)
    yield fake


def write(path: Path, inputs: list[str]) -> Path:
    rows = [{"custom_id": f"c{n}", "type": "embedding", "model": "m", "input": input} for n, input in enumerate(inputs)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def submit(*words: object, key: str = "fusionai_live_x") -> Result:
    arguments = ["submit", "--base-url", "http://api/v1", "--key", key, *map(str, words)]
    return CliRunner().invoke(cli.main, arguments)


def test_answers_are_written_in_the_order_of_the_input(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", [f"text {n}" for n in range(1203)])
    result = submit(file, "--wait")
    assert result.exit_code == 0, result.output
    rows = [json.loads(row) for row in (tmp_path / "in.out.jsonl").read_text().splitlines()]
    assert [row["custom_id"] for row in rows] == [f"c{n}" for n in range(1203)]
    assert [row["response"]["echo"] for row in rows] == [f"text {n}" for n in range(1203)]
    assert rows[0] == {
        "custom_id": "c0",
        "job_id": "job_0001",
        "status": "succeeded",
        "response": {"echo": "text 0"},
        "error": None,
        "usage": {"credits_used": 0.1},
        "attempts": 1,
    }
    assert len(server.answers) == 3
    assert "1,203 of 1,203" in result.output
    assert "120.3 credits" in result.output
    assert "\x1b" not in result.output


def test_some_failures_are_counted_and_are_exit_status_3(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "fail", "b"])
    result = submit(file, "--wait", "--json", "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 3
    summary = json.loads(result.output)
    assert (summary["succeeded"], summary["failed"], summary["extra_attempts"]) == (2, 1, 1)
    assert summary["credits_charged"] == 0.2
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["error"]["message"] == "no"


def test_the_same_command_takes_up_the_same_jobs(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    server.interrupt = True
    stopped = submit(file, "--wait")
    assert stopped.exit_code == 130
    assert f"fusionai submit {file} --wait" in stopped.output
    server.interrupt = False
    assert submit(file, "--wait").exit_code == 0
    assert len(server.jobs) == 2
    assert submit(file, "--wait", "--again").exit_code == 0
    assert len(server.jobs) == 4
    submit(file, "--again=x")
    submit(file, "--again=x")
    assert len(server.jobs) == 6
    submit(file, key="fusionai_test_x")
    assert len(server.jobs) == 8


def test_wrong_lines_stop_everything(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a"])
    file.write_text(file.read_text() + "nope\n" + file.read_text())
    result = submit(file)
    assert result.exit_code == 1
    assert f"{file}:2: not JSON" in result.output
    assert f"{file}:3: custom_id 'c0' is already on line 1" in result.output
    assert not server.jobs


def test_a_refusal_names_the_line_and_says_what_runs_on(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", ["a"] * 600)
    server.refuse = {"message": "jobs[2].model: unknown", "type": "invalid_request", "param": "jobs[2].model"}
    result = submit(file)
    assert result.exit_code == 1
    assert "line 503: model: unknown (400 invalid_request)" in result.output
    assert "500 jobs before it were accepted" in result.output


def test_an_empty_file_is_refused(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("\n")
    assert "has no lines" in submit(file).output

"""Files and batches in a few lines, for client and command: one answer a key; each look finds more lines done."""

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import httpx

from fusionai.plain import PlainClient

_PART = re.compile(rb'name="file"; filename="([^"]*)".*?\r\n\r\n(.*)\r\n--', re.DOTALL)


class BatchServer:
    """A transport. Lines whose input is `fail` fail; `faults` make every batch fail as a whole."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[bytes, dict[str, Any]]] = {}
        self.faults: list[dict[str, Any]] = []
        #: Called before a look at a batch is answered; what it raises, the client meets.
        self.before_look: Callable[[], None] = lambda: None
        self.cancelled_at_next_look = False
        #: As a server of before, it does not tell the progress of a batch.
        self.tells_progress = True
        #: Why lines fail, in turn.
        self.reasons = ["upstream_error"]
        #: Models that there are.
        self.models = ["m"]
        #: Credits that a dry run says there are.
        self.available = 10.0
        #: Batches of jobs that can be asked for.
        self.jobs: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def client(self, base_url: str = "http://api/v1", key: str = "fusionai_live_x", **options: Any) -> PlainClient:
        return PlainClient(base_url, key, transport=httpx.MockTransport(self), pause=lambda seconds: None, **options)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1")
        if request.method == "POST":
            return self._post(path, request)
        if request.method == "DELETE":
            return self._json(self.files.pop(path.split("/")[2]))
        if path.endswith("/content"):
            return httpx.Response(200, content=self.contents[path.split("/")[2]])
        if path == "/models":
            rows = [{"id": id, "object": "model", "provider": "openai", "purpose": "x"} for id in self.models]
            return self._json({"object": "list", "data": rows, "has_more": False, "last_id": None})
        if path.endswith("/progress"):
            return self._progress(path.split("/")[2])
        if path == "/batches":
            listed = list(reversed(self.batches.values()))
            return self._json({"object": "list", "data": listed, "has_more": False, "last_id": None})
        if (job := path.rpartition("/")[2]) in self.jobs:
            return self._json({"id": job, "object": "job", "batch_id": self.jobs[job]})
        kept = self.files if path.startswith("/files/") else self.batches
        if (id := path.split("/")[2]) not in kept:
            return _error(404, "not_found", f"there is no {id}")
        return self._json(kept[id] if kept is self.files else self._look(kept[id]))

    def _post(self, path: str, request: httpx.Request) -> httpx.Response:
        content = request.read()
        body = self._form(content) if path == "/files" else json.loads(content)
        key = request.headers["Authorization"] + request.headers["Idempotency-Key"]
        told = json.dumps([path, body]).encode()
        if key in self.answers:
            before, answer = self.answers[key]
            if before != told:
                return _error(422, "idempotency_mismatch", "this key was used with another request")
            return self._json(answer, {"Idempotent-Replayed": "true"})
        answer = self._make(path, body)
        if "error" in answer:
            return _error(404, "not_found", answer["error"])
        if not body.get("dry_run"):
            self.answers[key] = (told, dict(answer))
        return self._json(answer)

    def _form(self, content: bytes) -> dict[str, Any]:
        found = _PART.search(content)
        assert found and b'name="purpose"\r\n\r\nbatch' in content
        return {"filename": found[1].decode(), "content": found[2].decode()}

    def _make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/files":
            return self._keep(body["content"].encode(), body["filename"])
        if path.endswith("/cancel"):
            self.batches[path.split("/")[2]]["status"] = "cancelling"
            return self.batches[path.split("/")[2]]
        if path.endswith("/retry"):
            return self._retry(path.split("/")[2], body)
        if body["input_file_id"] not in self.files:
            return {"error": f"there is no {body['input_file_id']}"}
        lines = [json.loads(line) for line in self.contents[body["input_file_id"]].splitlines() if line.strip()]
        if body.get("dry_run"):
            return self._dry_run(lines)
        id = f"batch_{next(self._numbers):04}"
        self.batches[id] = {**_BATCH, "id": id, "asked": body, "lines": lines}
        return self.batches[id]

    def _keep(self, content: bytes, filename: str) -> dict[str, Any]:
        id = f"file_{next(self._numbers):04}"
        self.contents[id] = content
        self.files[id] = {"id": id, "object": "file", "filename": filename, "bytes": len(content)}
        return self.files[id]

    def _dry_run(self, lines: list[Any]) -> dict[str, Any]:
        errors = {"object": "list", "data": self.faults} if self.faults else None
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        worst = 0.5 * len(lines)
        verdict = {"object": "batch.dry_run", "valid": not errors, "errors": errors, "request_counts": counts}
        return {**verdict, "credits_worst_case": worst, "credits_available": self.available}

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Validating, then half of it, then all."""
        self.before_look()
        if batch["status"] == "in_progress" or self.cancelled_at_next_look:
            self._end(batch)
        elif batch["status"] == "validating" and self.faults:
            batch.update(status="failed", errors={"object": "list", "data": self.faults}, failed_at=7)
        elif batch["status"] == "validating":
            lines = len(batch["lines"])
            counts = {"total": lines, "completed": lines // 2, "failed": 0}
            batch.update(status="in_progress", request_counts=counts)
        return {name: value for name, value in batch.items() if name not in ("lines", "asked")}

    def _end(self, batch: dict[str, Any]) -> None:
        good = [line for line in batch["lines"] if line["body"].get("input") != "fail"]
        bad = [line for line in batch["lines"] if line not in good]
        counts = {"total": len(batch["lines"]), "completed": len(good), "failed": len(bad)}
        status = "cancelled" if self.cancelled_at_next_look else "completed"
        batch.update(status=status, request_counts=counts, credits_used=round(0.1 * len(good), 6), completed_at=9)
        for name, lines, code in (("output", good, 200), ("error", bad, 502)):
            if lines:
                rows = [_row(line, code) for line in lines]
                content = "".join(json.dumps(row, indent=None) + "\n" for row in rows).encode()
                batch[f"{name}_file_id"] = self._keep(content, f"{name}.jsonl")["id"]

    def _progress(self, id: str) -> httpx.Response:
        if not self.tells_progress or id not in self.batches:
            return _error(404, "not_found", "there is nothing there")
        batch = self.batches[id]
        shown = self._look(batch)
        counts = shown["request_counts"]
        one = {"provider": "openai", **counts, "running": 0, "waiting": 0, "waiting_for": None, "until": None}
        share = {"status_code": 502, "model": "m", "count": counts["failed"] // len(self.reasons), "message": "no"}
        reasons = [{"reason": reason, **share} for reason in self.reasons]
        return self._json(
            {
                "object": "batch.progress",
                "batch_id": id,
                "status": shown["status"],
                "request_counts": counts,
                "providers": [one] if counts["total"] else [],
                "reasons": reasons if counts["failed"] else [],
                "credits_used": shown["credits_used"],
                "created_at": shown["created_at"],
                "finished_at": shown["completed_at"] or shown["failed_at"],
            }
        )

    def _retry(self, id: str, body: dict[str, Any]) -> dict[str, Any]:
        lines = [line for line in self.batches[id]["lines"] if line["body"].get("input") == "fail"]
        again = [{**line, "body": {**line["body"], "input": "again"}} for line in lines]
        made = f"batch_{next(self._numbers):04}"
        self.batches[made] = {**_BATCH, "id": made, "asked": body, "lines": again, "retry_of": id}
        return self.batches[made]

    def _json(self, value: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
        shown = {name: part for name, part in value.items() if name not in ("lines", "asked")}
        return httpx.Response(200, json=shown, headers=headers)


def _row(line: dict[str, Any], code: int) -> dict[str, Any]:
    body = {"echo": line["body"].get("input")} if code == 200 else {"error": {"message": "no"}}
    response = {"status_code": code, "request_id": f"job_{line['custom_id']}", "body": body}
    return {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"], "response": response, "error": None}


def _error(status: int, type: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "type": type, "code": status}})


_BATCH: dict[str, Any] = {
    "object": "batch",
    "status": "validating",
    "endpoint": None,
    "model": None,
    "errors": None,
    "input_file_id": "file_1",
    "completion_window": "24h",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 5,
    "expires_at": 90_000,
    **{f"{name}_at": None for name in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling")},
    "cancelled_at": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "metadata": None,
    "usage": None,
    "credits_used": 0,
    "credits_held": 0,
    "invoice_id": None,
    "notify_each": False,
    "priority": 0,
}

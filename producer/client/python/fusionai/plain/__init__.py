"""The Python client of this API: typed calls over httpx; a retry never buys the same work twice.

Every POST carries an Idempotency-Key that its retries keep, so a lost answer is asked for again, not the work.

>>> with PlainClient("http://127.0.0.1:8000/v1", "fusionai_live_…") as fusion:      # doctest: +SKIP
...     job = fusion.submit({"type": "embedding", "model": "text-embedding-3-large", "input": "hello"})
...     print(fusion.job(job["id"], wait=30)["status"])
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fusionai.plain.asked import Json, Page
from fusionai.plain.atomic_file import atomic_write
from fusionai.plain.batches import BatchCalls
from fusionai.plain.objects import BATCH_OVER, TERMINAL, Batch, BatchResult, DryRun, File, Job, JobInput
from fusionai.plain.transport import ApiError
from fusionai.plain.webhooks import WebhookCalls
from fusionai.webhook_verification import SeenEvents, WebhookVerificationError
from shared.submissions.sizes import MOST_PAGE

__all__ = [
    "BATCH_OVER",
    "TERMINAL",
    "ApiError",
    "Batch",
    "BatchResult",
    "DryRun",
    "File",
    "Job",
    "Page",
    "PlainClient",
    "SeenEvents",
    "WebhookVerificationError",
]

#: The server's own waiting ends at 28 s.
_WAIT_MARGIN_SECONDS = 15.0


class PlainClient(BatchCalls, WebhookCalls):
    """One account's view of the API at `base_url` (with or without /v1)."""

    def submit(self, job: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
        """Accept one job: `{"type", "model", …request, "metadata"}`."""
        answer: Job = self.post("/jobs", job, idempotency_key=idempotency_key)
        return answer

    def submit_many(self, jobs: Sequence[Mapping[str, Any]], idempotency_key: str | None = None) -> list[Job]:
        """Accept up to 1,000 jobs, all or none; they come back in the same order."""
        answer = self.post("/jobs", {"jobs": list(jobs)}, idempotency_key=idempotency_key)
        accepted: list[Job] = answer["data"]
        return accepted

    def job(self, id: str, wait: float | None = None) -> Job:
        """The job now; with `wait` as soon as it has ended, or after that many seconds."""
        if wait is None:
            found: Job = self.get(f"/jobs/{id}")
        else:
            found = self.get(f"/jobs/{id}", timeout=wait + _WAIT_MARGIN_SECONDS, wait=f"{wait:g}")
        return found

    def job_input(self, id: str) -> JobInput:
        """What a job asked, as it can be sent again."""
        found: JobInput = self.get(f"/jobs/{id}/input")
        return found

    def jobs(
        self,
        *,
        limit: int = 20,
        after: str | None = None,
        metadata: Mapping[str, str] | None = None,
        include_results: bool = True,
        **filters: str | int | None,
    ) -> Page:
        """A page of the jobs, the newest first; without `include_results` the `result` of each is None.

        Filters, which can be combined: status, type, model, key_id, batch_id, created_after, created_before, metadata.
        """
        labels = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        alone = {} if include_results else {"include_results": "false"}
        return self._page("/jobs", limit=limit, after=after, **filters, **labels, **alone)

    def count_jobs(self, *, metadata: Mapping[str, str] | None = None, **filters: str | int | None) -> Json:
        """How many jobs match the filters of `jobs`: `count`, up to 10,000, and `has_more`."""
        labels = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        given: dict[str, Any] = {**filters, **labels}
        found: Json = self.get("/jobs/count", **given)
        return found

    def job_summary(self) -> Json:
        """How many jobs are queued and running, have succeeded today and failed in 24 hours."""
        found: Json = self.get("/jobs/summary")
        return found

    def cancel_jobs(self, *, dry_run: bool = False, after: str | None = None, **filters: Any) -> Json:
        """Cancel jobs that meet filters (`status` is a list here), up to 2,000 in one call; or count them.

        While `has_more` is true, there are others: call again with `after=last_id`.
        """
        wanted = {name: value for name, value in filters.items() if value is not None}
        more: dict[str, Any] = {} if after is None else {"after": after}
        answer: Json = self.post("/jobs/cancel", {**wanted, **more, "dry_run": dry_run})
        return answer

    def jobs_by_id(self, ids: Sequence[str]) -> list[Job]:
        """Up to 100 jobs at once; the unknown ones are missing."""
        found: list[Job] = self.get("/jobs", ids=",".join(ids), limit=MOST_PAGE)["data"]
        return found

    def every_job(self, **filters: str | None) -> Iterator[Json]:
        """All jobs, page by page."""
        return self._every("/jobs", **filters)

    def cancel(self, id: str) -> Job:
        """Ask that a job end; a job that has already ended stays as it is."""
        answer: Job = self.post(f"/jobs/{id}/cancel", {})
        return answer

    def events(self, *, after: str | None = None, limit: int = MOST_PAGE, types: Sequence[str] = ()) -> Page:
        """A page of the account's events, the oldest first; of these types."""
        return self._page("/events", limit=limit, after=after, type=",".join(types) or None)

    def every_event(self, *, after: str | None = None, types: Sequence[str] = ()) -> Iterator[Json]:
        """All events from `after` on, page by page; of these types."""
        return self._every("/events", after=after, type=",".join(types) or None)

    def credits(self) -> Json:
        """What is available and what is held."""
        balance: Json = self.get("/credits")
        return balance

    def transfers(self, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of the movements of credits."""
        return self._page("/credits/transfers", limit=limit, after=after)

    def credit_history(self, from_: str | None = None, to: str | None = None) -> Json:
        """What remained at the end of each day, UTC, and what came and went on it; default: the last 30 days."""
        days: dict[str, Any] = {"from": from_, "to": to}
        found: Json = self.get("/credits/history", **days)
        return found

    def set_thresholds(self, thresholds: Sequence[Mapping[str, Any]]) -> Json:
        """Replace the levels of credit at which an event is sent: `{"kind": "remaining"|"spent", "credits": n}`."""
        answer: Json = self._send("PUT", "/credits/thresholds", json={"thresholds": list(thresholds)})
        return answer

    def models(self) -> Page:
        """What the key can use."""
        return self._page("/models")

    def usage(
        self, from_: str | None = None, to: str | None = None, *, limit: int = 20, after: str | None = None
    ) -> Json:
        """What was used, days inclusive, UTC (`2026-11-21`), and a page of its rows; default: this month."""
        days: dict[str, Any] = {"from": from_, "to": to}
        found: Json = self.get("/usage", limit=limit, after=after, **days)
        return found

    def usage_by(
        self,
        group_by: str,
        from_: str | None = None,
        to: str | None = None,
        *,
        limit: int = 20,
        after: str | None = None,
    ) -> Json:
        """The sums of a period by `model`, `key`, `day` or `metadata.NAME`, or several (`key,day`): a page of them."""
        wanted: dict[str, Any] = {"group_by": group_by, "from": from_, "to": to}
        found: Json = self.get("/usage", limit=limit, after=after, **wanted)
        return found

    def usage_series(self, interval: Literal["minute", "hour", "day"] = "hour", **more: str | int | None) -> Json:
        """Usage over time: `since`, `until` (Unix seconds), `model`, `key_id`."""
        given: dict[str, Any] = {"interval": interval, **more}
        found: Json = self.get("/usage/series", **given)
        return found

    def every_usage(self, from_: str | None = None, to: str | None = None) -> Iterator[Json]:
        """All rows of usage, page by page."""
        days: dict[str, Any] = {"from": from_, "to": to}
        return self._every("/usage", **days)

    def invoices(self, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of the invoices: statements of what was used, and purchases of credits."""
        return self._page("/invoices", limit=limit, after=after)

    def invoice_document(self, id: str, target: str | Path, format: Literal["html", "pdf"] = "pdf") -> int:
        """Write an invoice as a PDF, or as a page of HTML, to `target`, whole or not at all; how many bytes."""
        with atomic_write(Path(target)) as stream:
            return self._fetch(f"/invoices/{id}?format={format}", stream)

    def invoice_links(self, id: str) -> Json:
        """Links to an invoice as HTML and PDF that need no key, for a day."""
        found: Json = self.get(f"/invoices/{id}/links")
        return found

    def invoice(self, id: str) -> Json:
        found: Json = self.get(f"/invoices/{id}")
        return found

    def buy_credits(self, credits: int, idempotency_key: str | None = None, **more: Any) -> Json:
        """Make the invoice of a purchase: `description`, `metadata`, `save_payment_method` beside the credits.

        It is paid at its `checkout_url`, where the server takes payments online.
        """
        made: Json = self.post("/invoices", {"credits": credits, **more}, idempotency_key=idempotency_key)
        return made

    def void_invoice(self, id: str) -> Json:
        """Void an open purchase, so that it is never paid."""
        gone: Json = self.post(f"/invoices/{id}/void", {})
        return gone

    def auto_top_up(self) -> Json:
        """The automatic top-up, and whether it is at work."""
        found: Json = self.get("/credits/auto_top_up")
        return found

    def set_auto_top_up(self, threshold: int, credits: int, monthly_limit: int) -> Json:
        """Have so many credits bought when fewer than `threshold` are available, up to a limit a month."""
        wanted = {"enabled": True, "threshold": threshold, "credits": credits, "monthly_limit": monthly_limit}
        answer: Json = self._send("PUT", "/credits/auto_top_up", json=wanted)
        return answer

    def stop_auto_top_up(self) -> Json:
        """Have no credits bought automatically any more."""
        answer: Json = self._send("PUT", "/credits/auto_top_up", json={"enabled": False})
        return answer

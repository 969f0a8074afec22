"""The client's calls of webhooks, and the verification of what they receive."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from fusionai import webhook_verification
from fusionai.plain.asked import Json, Page
from fusionai.plain.transport import Transport
from shared.webhooks.signing import TOLERANCE_SECONDS


class Webhooks:
    """The account's webhooks: called, a page of them; and what can be done with one.

    >>> fusion.webhooks.verify(body, headers, "whsec_…")["type"]      # doctest: +SKIP
    'job.completed'
    """

    def __init__(self, calls: "WebhookCalls") -> None:
        self._calls = calls

    def __call__(self, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of the webhooks, the newest first."""
        return self._calls.list_webhooks(limit=limit, after=after)

    @staticmethod
    def verify(
        body: bytes | str,
        headers: Mapping[str, str],
        secret: str | Sequence[str],
        *,
        tolerance_seconds: int = TOLERANCE_SECONDS,
        seen: Callable[[str], bool] | None = None,
    ) -> dict[str, Any]:
        """The event of a delivery that is genuine; see `fusionai.webhook_verification.verify`."""
        return webhook_verification.verify(body, headers, secret, tolerance_seconds=tolerance_seconds, seen=seen)

    def create(self, url: str, events: Sequence[str] = (), description: str | None = None) -> Json:
        """Have events sent to `url`; only this answer has the signing secret. No events: all of them."""
        given: dict[str, Any] = {"url": url, "events": list(events) or None, "description": description}
        made: Json = self._calls.post("/webhooks", {name: value for name, value in given.items() if value is not None})
        return made

    def show(self, id: str) -> Json:
        """A webhook."""
        found: Json = self._calls.get(f"/webhooks/{id}")
        return found

    def set(self, id: str, **changes: Any) -> Json:
        """Change its `url`, `events`, `description` or `status` (`enabled`, `disabled`)."""
        return self._calls.change_webhook(id, changes)

    def delete(self, id: str) -> Json:
        """Send nothing more to it."""
        return self._calls.delete_webhook(id)

    def rotate(self, id: str, *, overlap_seconds: int | None = None) -> Json:
        """Give it a new secret, which this answer shows; those before remain valid for a day, or as long as you say.

        0 seconds, where a secret has leaked: they sign nothing any more.
        """
        rotated: Json = self._calls.post(f"/webhooks/{id}/rotate", _overlap(overlap_seconds))
        return rotated

    def test(self, id: str) -> Json:
        """Send a `webhook.test` event to it."""
        sent: Json = self._calls.post(f"/webhooks/{id}/test", {})
        return sent

    def deliveries(self, id: str, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of what was sent to it, the newest first, with every attempt."""
        return self._calls.list_deliveries(f"/webhooks/{id}/deliveries", limit=limit, after=after)

    def redeliver(
        self,
        id: str,
        since: int,
        status: Literal["failed", "missing", "all"] = "failed",
        *,
        until: int | None = None,
        after: str | None = None,
    ) -> Iterator[Json]:
        """Redeliver to it what it was not sent, or all, since then (Unix seconds): part by part, as they are asked for.

        Each part says how many (`redelivered`), and with which `last_id` to go on after an interruption.
        """
        while True:
            given = {"since": since, "status": status, "until": until, "after": after}
            body = {name: value for name, value in given.items() if value is not None}
            part: Json = self._calls.post(f"/webhooks/{id}/redeliver", body)
            yield part
            if not part["has_more"]:
                return
            after = part["last_id"]

    def types(self) -> Page:
        """The types of events, each with when it is sent (`description`) and an `example` of its body."""
        found: Page = self._calls.get("/events/types")
        return found

    def secret(self) -> Json:
        """What is known of the secret that signs deliveries to the `callback_url` of jobs and batches."""
        found: Json = self._calls.get("/webhook_secret")
        return found

    def rotate_secret(self, *, overlap_seconds: int | None = None) -> Json:
        """Rotate that secret; only this answer shows it, and those before remain valid as those of a webhook do."""
        rotated: Json = self._calls.post("/webhook_secret/rotate", _overlap(overlap_seconds))
        return rotated


class WebhookCalls(Transport):
    """What `PlainClient` can do with webhooks, events and their deliveries."""

    @property
    def webhooks(self) -> Webhooks:
        """The account's webhooks."""
        return Webhooks(self)

    def list_webhooks(self, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of the webhooks, the newest first."""
        return self._page("/webhooks", limit=limit, after=after)

    def create_webhook(self, url: str, events: Sequence[str] = ()) -> Json:
        """Have events sent to `url`; the answer has the signing secret. No events: all of them."""
        return self.webhooks.create(url, events)

    def change_webhook(self, id: str, changes: Mapping[str, Any]) -> Json:
        """Change the fields of a webhook that are given."""
        changed: Json = self._send("PATCH", f"/webhooks/{id}", json=dict(changes))
        return changed

    def delete_webhook(self, id: str) -> Json:
        """Send nothing more to a webhook."""
        gone: Json = self._send("DELETE", f"/webhooks/{id}")
        return gone

    def list_deliveries(self, path: str, *, limit: int = 20, after: str | None = None) -> Page:
        """A page of deliveries: those to a webhook, or those of an event."""
        return self._page(path, limit=limit, after=after)

    def job_deliveries(self, id: str) -> Page:
        """The deliveries of the event of a job's end, to webhooks and to its `callback_url`."""
        return self.list_deliveries(f"/jobs/{id}/deliveries")

    def batch_deliveries(self, id: str) -> Page:
        """The same of a batch."""
        return self.list_deliveries(f"/batches/{id}/deliveries")

    def redeliver_event(self, id: str) -> Json:
        """Send an event again, to its callback and to the webhooks that had it and are enabled."""
        event: Json = self.post(f"/events/{id}/redeliver", {})
        return event


def _overlap(seconds: int | None) -> Json:
    return {} if seconds is None else {"overlap_seconds": seconds}

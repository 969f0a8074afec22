"""A request's jobs on their way to being accepted, and the answer that they get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from producer.admission.audited import Entry
from producer.admission.cached_answers import Caching, Hit
from producer.admission.idempotency import Claim
from producer.objects import queued_job
from shared.jobs import credit_waits
from shared.key_holders import KeyHolder
from shared.money.shortage import Need
from shared.strict_json import dumps


@dataclass(slots=True)
class PreparedJobs:
    """One request's jobs, ready to be written; accepted whole or refused whole."""

    holder: KeyHolder
    rows: list[dict[str, Any]]
    payloads: list[dict[str, Any]]
    response: str
    claim: Claim | None
    need: Need = field(default_factory=Need)
    #: It was accepted before, and prepared for its earlier answer alone.
    answered: bool = False
    #: A flush has been tried with it: after an ambiguous COMMIT it may already be there.
    tried: bool = False
    #: Its answer may come from the cache, or go there.
    caching: Caching | None = None
    #: Its answer has come from there.
    hit: Hit | None = None
    #: They came as a list; and they may wait for credit.
    listed: bool = False
    waits: bool = False
    #: What is written down of who sent them.
    entry: Entry | None = None

    @property
    def bound(self) -> int:
        return sum(row["bound_micros"] for row in self.rows)

    def waiting(self) -> "PreparedJobs":
        """The same as jobs that wait for credit."""
        rows = [credit_waits.waiting(row) for row in self.rows]
        return replace(self, rows=rows, response=shown(rows, self.payloads, listed=self.listed))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer, and whether it is an earlier one given again. `over`: its job has ended already."""

    response: str
    status_code: int = 202
    replayed: bool = False
    over: bool = False
    #: Its jobs wait for credit.
    waits: bool = False


def shown(rows: Sequence[Mapping[str, Any]], payloads: Sequence[Mapping[str, Any]], *, listed: bool) -> str:
    """The jobs as the answer shows them."""
    views = [queued_job({**payload, **row}) for row, payload in zip(rows, payloads, strict=True)]
    return dumps({"object": "list", "data": views} if listed else views[0])

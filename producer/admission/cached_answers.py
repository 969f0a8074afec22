"""Answers from the cache: a deterministic request that an account has sent before is answered from that job's row.

`cached_answers` says which job was the latest to be accepted for a request; its answer is a hit once that job has
succeeded, until the row expires. A hit is a job as well: the transaction that accepts it ends it, with its one offer
priced at what the catalogue says a cached answer costs. Equal requests that come at the same time all run.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, tuple_

from shared import clock, db
from shared.db import counters
from shared.db import models as m
from shared.jobs import metrics, transitions
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.objects.amounts import credits
from shared.settings import settings
from shared.strict_json import canonical, dumps
from shared.submissions.catalogue import Catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import Submission, image_urls

#: What makes an answer depend on more than the request.
_OUTSIDE = ("web_search_options", "linked_context", "grounding")
#: What says how an answer is sent, and not what it is.
_SENDING = ("stream", "stream_options")


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How a caller uses the cache. `oldest_seconds`: an older answer is not taken; 0: none is."""

    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Caching:
    """A request that may be answered from the cache, with the offer that a hit is priced by."""

    account_id: str
    fingerprint: str
    use: CacheUse
    offer: Offer

    @property
    def place(self) -> tuple[str, str]:
        """Where its answer is found."""
        return self.account_id, self.fingerprint


@dataclass(frozen=True, slots=True)
class Hit:
    """The result of an earlier job: its columns by name, and when it ended."""

    job_id: str
    finished_at: int
    result: Mapping[str, Any]


def cache_use(said: Iterable[str]) -> CacheUse | None:
    """How the headers `Cache-Control` of a request let the cache be used; None: not at all.

    >>> cache_use(["no-store"]), cache_use(["no-cache"]), cache_use(["max-age=60, no-transform"])
    (None, CacheUse(oldest_seconds=0.0), CacheUse(oldest_seconds=60.0))
    """
    oldest = float(settings().cache_seconds)
    for word in ",".join(said).lower().split(","):
        name, _, value = word.strip().partition("=")
        if name == "no-store":
            return None
        if name == "no-cache":
            oldest = 0.0
        elif name == "max-age" and value.isascii() and value.isdigit():
            oldest = min(oldest, float(value[:10]))
    return CacheUse(oldest) if settings().cache_seconds else None


def caching(
    holder: KeyHolder, submission: Submission, offers: Sequence[Offer], catalogue: Catalogue, use: CacheUse
) -> Caching | None:
    """Where the answer to a request is kept; None for one whose answer does not follow from the request."""
    if not _is_deterministic(submission) or offers[0].course:
        return None
    request = {name: value for name, value in submission.request.items() if name not in _SENDING}
    by = [[one.provider, one.model, one.upstream, one.service_tier] for one in offers]
    digest = hashlib.sha256(canonical([submission.type, request, by])).hexdigest()
    fee = 0 if holder.test else catalogue.models[offers[0].model].cached_answer
    return Caching(holder.account_id, f"{holder.mode}:{digest}", use, _priced(offers[0], fee))


def _is_deterministic(submission: Submission) -> bool:
    """A chat at temperature 0 with one answer, which nothing but the request itself is asked for."""
    request = submission.request
    if submission.type != "chat.completion" or request.get("temperature") != 0 or request.get("n", 1) != 1:
        return False
    return not any(name in request for name in _OUTSIDE) and all(url.startswith("data:") for url in image_urls(request))


def _priced(first: Offer, fee: int) -> Offer:
    """The offer of an answer from the cache: the fee for it, and nothing for its tokens."""
    said = {name: getattr(first, name) for name in ("provider", "model", "upstream", "version", "max_output")}
    return Offer(**said, input=0, output=0, request=fee, bound_micros=fee)


#: What a hit has of the earlier job's result; its price is its own.
_KEPT = (
    *("provider", "model", "prompt_tokens", "completion_tokens", "cached_tokens", "cache_creation_tokens"),
    *("reasoning_tokens", "cache_creation_1h_tokens", "estimated"),
)
#: Made once: making a statement costs more than running it.
_FIND = (
    select(m.cached_answers.c.account_id, m.cached_answers.c.fingerprint, m.jobs.c.id, m.jobs.c.finished_at)
    .add_columns(m.job_results.c.response, m.job_results.c.ignored, *(m.job_results.c[name] for name in _KEPT))
    .join_from(m.cached_answers, m.jobs, m.jobs.c.id == m.cached_answers.c.job_id)
    .join(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    .where(
        tuple_(m.cached_answers.c.account_id, m.cached_answers.c.fingerprint).in_(bindparam("b_asked", expanding=True)),
        m.cached_answers.c.expires_at > bindparam("b_now"),
        m.jobs.c.account_id == m.cached_answers.c.account_id,
        m.jobs.c.status == "succeeded",
        m.job_results.c.response.is_not(None),
    )
)


def find(connection: Connection, asking: Sequence[Caching]) -> dict[tuple[str, str], Hit]:
    """The answers that are there, by their places; `takes` says which of these requests take them."""
    places = {one.place for one in asking if one.use.oldest_seconds}
    if not places:
        return {}
    found = connection.execute(_FIND, {"b_asked": sorted(places), "b_now": clock.now_micros()}).mappings()
    return {(row["account_id"], row["fingerprint"]): Hit(row["id"], row["finished_at"], dict(row)) for row in found}


def takes(caching: Caching, hit: Hit) -> bool:
    """Whether a request takes an answer: of the model that it asks first, not too old, and with usage."""
    result, age = hit.result, clock.now_micros() - hit.finished_at
    served = result["provider"] == caching.offer.provider and result["model"] == caching.offer.model
    return served and age < caching.use.oldest_seconds * clock.MICROS and result["prompt_tokens"] > 0


def is_hit(connection: Connection, caching: Caching | None) -> bool:
    """Whether the cache would answer now, so that no worker is needed."""
    found = find(connection, [caching]).get(caching.place) if caching else None
    return caching is not None and found is not None and takes(caching, found)


def rows(caching: Caching, row: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job's rows as those of one that the cache answers: its one offer is the cache's, and nothing rings for it."""
    row = {**row, "bound_micros": caching.offer.bound_micros, "woken_at": None}
    return row, {**payload, "offers": dumps([caching.offer])}


def settle(connection: Connection, answered: Sequence[tuple[str, Caching, Hit]]) -> None:
    """End these jobs, which this transaction has accepted, with the answers of earlier ones."""
    if answered:
        transitions.settle(connection, [_ending(*one) for one in answered])
        counters.add(connection, {metrics.key("cache_lookups", "hit"): len(answered)})


def _ending(job_id: str, caching: Caching, hit: Hit) -> Ending:
    fee, body = caching.offer.bound_micros, orjson.loads(hit.result["response"])
    body["usage"]["credits_used"] = credits(fee)
    body["cached"] = True
    return Ending(
        job_id,
        0,
        "succeeded",
        came_from="queued",
        takes=True,
        response=dumps(body),
        ignored=orjson.loads(hit.result["ignored"] or "[]"),
        charge_micros=fee,
        cached_from=hit.job_id,
        **{name: hit.result[name] for name in _KEPT},
    )


def remember(connection: Connection, accepted: Sequence[tuple[str, Caching]]) -> None:
    """Let these jobs, which this transaction has accepted, answer later requests like theirs once they are over."""
    expires_at = clock.now_micros() + settings().cache_seconds * clock.MICROS
    latest = {caching.place: job_id for job_id, caching in accepted}
    new = [(*place, job_id, expires_at) for place, job_id in sorted(latest.items())]
    if new:
        statement = _remember(connection.dialect.name)
        connection.execute(statement, [dict(zip(_COLUMNS, row, strict=True)) for row in new])
        counters.add(connection, {metrics.key("cache_lookups", "miss"): len(accepted)})


_COLUMNS = ("account_id", "fingerprint", "job_id", "expires_at")


@lru_cache(maxsize=2)
def _remember(dialect: str) -> Any:
    statement = db.insert(dialect, m.cached_answers)
    later = {name: statement.excluded[name] for name in ("job_id", "expires_at")}
    return statement.on_conflict_do_update(index_elements=["account_id", "fingerprint"], set_=later)

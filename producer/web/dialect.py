"""The Dialect value: everything in which one way of speaking to this API differs from another."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from producer.admission.limits.allowances import Allowance
from producer.admission.limits.rates import Dimension
from producer.waiting.framing import BrokenStream, Framing, event
from producer.web.rate_headers import What
from producer.web.router import Router
from producer.web.rows import Schema
from shared.dialects.line_format import LineFormat
from shared.errors import FusionError
from shared.submissions.job_types import JobType

#: With what a dialect's framing is made of.
__all__ = ["BrokenStream", "Dialect", "Dialects", "DocumentPart", "Framing", "Refusal", "dialect_of", "event"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an error looks: a body to be sent as JSON, and headers beside Retry-After and those that name a job."""

    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    #: None: the error's own.
    status: int | None = None


def bearer_wanted(error: FusionError) -> dict[str, str]:
    """The headers of a refusal, where the key is sent as a bearer token: a 401 says so."""
    return {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}


def no_schemas() -> Mapping[str, Schema]:
    """For a dialect whose rows say everything."""
    return {}


@dataclass(frozen=True, slots=True)
class DocumentPart:
    """A dialect's part of the document."""

    #: A paragraph or more, Markdown.
    about: str
    #: In the order in which they are shown, with what they are about.
    tags: Mapping[str, str]
    #: The security schemes, by name, any of which will do.
    security: Mapping[str, Schema]
    #: The schema of a refusal of some kind.
    error: Callable[[type[FusionError]], Schema]
    #: The headers of refusals, by status.
    error_headers: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    #: Component schemas beside those of the models that rows name, and headers of answers.
    schemas: Callable[[], Mapping[str, Schema]] = no_schemas
    headers: Mapping[str, Schema] = field(default_factory=dict)
    #: What the server sends by itself, by name.
    webhooks: Mapping[str, Schema] = field(default_factory=dict)
    #: Before the names of its operations and refusals, so that no two dialects have the same.
    mark: str = ""


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/") or not prefix


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of speaking to the API; `producer.dialects.DIALECTS` has every one.

    `prefixes`: under each of them it answers, "" for the root; the document shows the first. `hosts`: names under
    which the server is this dialect alone; a path there is below a prefix, below one of `bases` (what its own document
    has before its paths), or below neither.
    """

    name: str
    prefixes: tuple[str, ...]
    router: Router
    #: The API key that a request carries; InvalidRequest for two, Unauthorized for none.
    key_of: Callable[[Headers], str]
    #: How an error looks, given the request's id.
    refuse: Callable[[FusionError, str], Refusal]
    #: A new stream's framing.
    framing: Callable[[], Framing]
    #: What the limit says, of requests or of tokens, as headers of any answer.
    limit_headers: Callable[[Allowance, What], list[tuple[bytes, bytes]]]
    document: DocumentPart
    bases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    #: Limits of its own, which what makes jobs meets beside those of every dialect.
    dimensions: tuple[Dimension, ...] = ()
    #: A job's result (JSON, as the native API gives it) as this dialect gives it.
    dress: Callable[[JobType, str], str] = lambda type, result: result
    #: Thoughts have a place of their own in its answers, as in its streams (`Framing.keeps_thoughts`).
    keeps_thoughts: bool = False
    #: Headers of every answer, given the request's id, beside X-Request-Id and FusionAI-Version.
    answer_headers: Callable[[str], list[tuple[bytes, bytes]]] = lambda request_id: []
    #: Other names of a path, and the paths of POSTs that buy: without an Idempotency-Key, an SDK's retry of one of
    #: these is told from a new one. Both as `call_path` gives them.
    other_names: Mapping[str, str] = field(default_factory=dict)
    bought: frozenset[str] = frozenset()
    #: Prefixes of the native dialect whose requests are this one's if their headers say so: they go to the same path
    #: below the dialect's first prefix.
    claims: tuple[str, ...] = ()
    is_claimed_by: Callable[[Headers], bool] = lambda headers: False
    #: Answers to deterministic requests are cached: see `producer.admission.cached_answers`.
    caches: bool = False
    #: Its requests may be lines of batches in their own form; None: they may not. One of `shared.dialects`.
    lines: LineFormat | None = None

    def prefix_of(self, path: str) -> str | None:
        """The longest of its prefixes that a path is under; None: it is not this dialect's."""
        return max((one for one in self.prefixes if _is_under(path, one)), key=len, default=None)

    def claimed(self, scope: Scope) -> str | None:
        """The path that a request to the native dialect has here, if it is this dialect's by its headers."""
        path: str = scope["path"]
        prefix = next((one for one in self.claims if _is_under(path, one)), None)
        if prefix is None or not self.is_claimed_by(Headers(scope=scope)):
            return None
        return self.prefixes[0] + path.removeprefix(prefix.rpartition("/")[0])

    def path_at_host(self, path: str) -> str:
        """The path that a request to a host of its own has below its first prefix."""
        before = max((one for one in (*self.prefixes, *self.bases) if _is_under(path, one)), key=len, default="")
        return self.prefixes[0] + path.removeprefix(before)

    def call_path(self, path: str) -> str:
        """The same for every way to write one call: below its shortest prefix, by its one name."""
        shortest = min(self.prefixes, key=len)
        path = shortest + path.removeprefix(self.prefix_of(path) or "")
        return self.other_names.get(path, path)


class Dialects:
    """Those that an app speaks. One answers at the root, and for all that is no other's.

    `everywhere`: paths of the server itself, which are below no prefix at any host, as its probes and documents.
    """

    def __init__(self, every: Sequence[Dialect], everywhere: Collection[str] = ()) -> None:
        self.every = tuple(every)
        self._everywhere = tuple(everywhere)
        self._by_host = {host: one for one in every for host in one.hosts}
        prefixes = [(prefix, one) for one in every for prefix in one.prefixes]
        #: The longest first: it is the more exact one.
        self._prefixes = sorted(prefixes, key=lambda pair: len(pair[0]), reverse=True)
        self.native = next(one for prefix, one in prefixes if not prefix)
        self._claiming = [one for one in every if one.claims]

    def router(self) -> Router:
        """All their routes."""
        made = Router()
        for prefix, dialect in self._prefixes:
            made.include(dialect.router, prefix, shown=prefix == dialect.prefixes[0], owner=dialect)
        return made

    def enter(self, scope: Scope) -> Dialect:
        """Whose request it is; one to a host of its own gets the path that it would have under the prefix."""
        dialect = self._found(scope)
        scope["fusionai_dialect"] = dialect
        return dialect

    def _found(self, scope: Scope) -> Dialect:
        path = scope["path"]
        if self._by_host and not any(_is_under(path, one) for one in self._everywhere):
            host = Headers(scope=scope).get("host", "").partition(":")[0].lower()
            if (bound := self._by_host.get(host.removesuffix("."))) is not None:
                scope["path"] = bound.path_at_host(path)
                return bound
        found = next(one for prefix, one in self._prefixes if _is_under(path, prefix))
        return self._claimer(scope) if found is self.native else found

    def _claimer(self, scope: Scope) -> Dialect:
        """The dialect that a request under the native prefixes is in."""
        for dialect in self._claiming:
            if (path := dialect.claimed(scope)) is not None:
                scope["path"] = path
                return dialect
        return self.native


def dialect_of(request: Request) -> Dialect:
    """The dialect that a request is in."""
    found: Dialect = request.scope["fusionai_dialect"]
    return found

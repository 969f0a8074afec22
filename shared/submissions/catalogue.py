"""The catalogue: models, prices, and which provider serves them; read from catalogue.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from shared.environment import provider_key
from shared.errors import InvalidRequest
from shared.money.pricing import Overheads, Price
from shared.queues import LANES, queue_name
from shared.settings import settings
from shared.submissions.job_types import JobType
from shared.submissions.price_rows import LongContextRow, Micros, Tier
from shared.submissions.sending import PLAIN, Sending, Words, sending

SANDBOX = "sandbox"


class Provider(Words):
    """One upstream: where it is, which protocol it speaks, and the environment name of its key."""

    name: str
    protocol: str
    base_url: str = ""
    key: str = ""
    simulated_path: str = ""
    #: It fetches the addresses of pictures itself, from a network of ours: those of private hosts are refused.
    fetches_privately: bool = False
    #: What the provider admits of each of its models; 0: found out by calling.
    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)


class CatalogueModel(Words):
    """One thing a customer can ask for by its catalogue id."""

    id: str
    type: JobType
    provider: str
    upstream: str
    purpose: str
    input: Micros = 0
    output: Micros = 0
    #: Of input read from the provider's cache, and of input written into it; None: as other input.
    cached_input: Micros | None = None
    cache_write: Micros | None = None
    #: Of input written into the cache for an hour; None: as `cache_write`.
    cache_write_1h: Micros | None = None
    #: Of output tokens of reasoning; None: as other output.
    reasoning: Micros | None = None
    #: Of each request, beside what it uses.
    request: Micros = 0
    #: By size (`1024x1024`), or by quality and size (`high/1024x1024`).
    images: Mapping[str, Micros] = {}
    #: The prices of a whole request whose input is long.
    long_context: LongContextRow | None = None
    #: Qualities of pictures that cost what the size does; another one needs a price of its own in `images`.
    qualities: list[str] = Field(default=[])
    #: Service tiers that have a price of their own; the price above is the standard one's.
    service_tiers: Mapping[str, Tier] = {}
    #: Tokens that `web_search_options` adds to the input at most; 0: they are refused.
    web_search: int = Field(default=0, ge=0)
    max_output: int = Field(default=0, ge=0)
    dimensions: int = 0
    #: Models that serve a request whose caller names no `routing.fallbacks`; the dearest of all is held for.
    fallbacks: list[str] = Field(default=[], max_length=3)
    #: Tokens of the window, of request and answer together; 0: not known.
    context: int = Field(default=0, ge=0)
    #: What the provider admits of this model; 0: what its row says, or found out by calling.
    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Catalogue:
    """The whole list, with its version and the overheads by which input is bounded."""

    version: str
    overheads: Overheads
    providers: Mapping[str, Provider]
    models: Mapping[str, CatalogueModel]
    #: By model, each as a job's row keeps it.
    prices: Mapping[str, Price]
    #: By model, what it is sent.
    sendings: Mapping[str, Sending] = field(default_factory=dict)

    def model(self, id: str, *, param: str = "model") -> CatalogueModel:
        """The model of that id, or of `provider.id`, which is looked for after it; a 400 that names `param`."""
        if found := self.models.get(id):
            return found
        provider, _, bare = id.partition(".")
        if (found := self.models.get(bare)) and found.provider == provider:
            return found
        raise InvalidRequest(
            f"{param}: unknown model {id[:100]!r}; GET /v1/models lists the available models", param=param
        )

    def sending(self, id: str) -> Sending:
        """What the model of that id is sent; of one that is not there any more, what any is."""
        return self.sendings.get(id, PLAIN)


@dataclass(frozen=True)
class Endpoint:
    """Where a provider's calls go, and with which key."""

    base_url: str
    key: str
    simulated: bool


def endpoint(provider: Provider) -> Endpoint | None:
    """The real provider when its key is in the environment; else the simulator if one is up; else None."""
    if provider.key and (key := provider_key(provider.key)):
        return Endpoint(provider.base_url, key, simulated=False)
    if settings().environment == "embedded" and settings().simulator_url and provider.simulated_path:
        return Endpoint(settings().simulator_url.rstrip("/") + provider.simulated_path, "simulated", simulated=True)
    return None


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue of this process, read once: FUSIONAI_CATALOGUE or the file that ships."""
    return load(settings().catalogue)


def load(name: str) -> Catalogue:
    """The catalogue in that file, or the one that ships; one that cannot be used ends the process, saying why."""
    path = Path(name or Path(__file__).with_suffix(".toml"))
    try:
        return read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(f"cannot load the catalog {path}: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def read(source: str) -> Catalogue:
    """Parse a catalogue; raises ValueError that names what is wrong, so that a bad file stops the start."""
    data = tomllib.loads(source)
    providers = {name: Provider(name=name, **row) for name, row in data["providers"].items()}
    models = {id: CatalogueModel(id=id, **row) for id, row in data["models"].items()}
    for model in models.values():
        if model.provider not in providers:
            raise ValueError(f"models.{model.id}: provider {model.provider!r} is not defined in [providers]")
        if not (model.input or model.output or model.images or model.request):
            raise ValueError(f"models.{model.id}: price is missing")
        for name in model.fallbacks:
            if name not in models or models[name].type != model.type:
                raise ValueError(f"models.{model.id}: fallbacks: {model.type} model {name!r} not found")
        if model.type == "chat.completion" and not model.max_output:
            raise ValueError(f"models.{model.id}: max_output is missing")
    version = data["version"]
    prices = {id: _price(version, model) for id, model in models.items()}
    sendings = {id: sending(providers[model.provider], model, model.upstream) for id, model in models.items()}
    return Catalogue(version, Overheads(**data["overheads"]), providers, models, prices, sendings)


def _price(version: str, model: CatalogueModel) -> Price:
    return Price(
        version,
        model.input,
        model.output,
        dict(model.images),
        cached_input=model.cached_input,
        cache_write=model.cache_write,
        cache_write_1h=model.cache_write_1h,
        reasoning=model.reasoning,
        request=model.request,
        long_context=model.long_context.prices() if model.long_context else None,
    )


def job_queues() -> list[str]:
    """Every queue that jobs wait on."""
    return [queue_name(name, lane) for name in catalogue().providers for lane in LANES]

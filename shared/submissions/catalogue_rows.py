"""The rows of the catalogue: a provider and a model, with their keys and units. Pure."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.submissions.job_types import JobType
from shared.submissions.price_rows import DatedPrices, LongContextRow, Micros, Tier
from shared.submissions.sending import Words

#: The name of a provider stands in the names of queues, of documents in Redis and of the environment.
ProviderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=64)]
#: A model's id, ours or the provider's: no blanks, no control characters.
ModelName = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]+$", max_length=200)]
#: The most of a number of tokens that a row may state.
MOST_TOKENS: Final = 10**9
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]


class Provider(Words):
    """One upstream: where it is, which protocol it speaks, and the environment name of its key."""

    name: ProviderName
    protocol: str
    base_url: str = ""
    #: Environment name of the base URL, beside `FUSIONAI_PROVIDER_NAME_URL`; it goes before `base_url`.
    url: str = ""
    #: What is added to a URL of the environment that does not end so: `/v1`.
    path: str = ""
    key: str = ""
    #: It is called without a key where the environment has none, as a server of one's own is.
    key_optional: bool = False
    #: The header of the key: `Authorization: Bearer KEY`, Azure's `api-key: KEY` …; empty: its protocol's.
    key_header: Literal["", "authorization", "api-key", "x-api-key", "x-goog-api-key"] = ""
    simulated_path: str = ""
    #: It fetches the addresses of pictures itself, from a network of ours: those of private hosts are refused.
    fetches_privately: bool = False
    #: What the provider admits of each of its models; 0: found out by calling.
    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _is_a_web_address(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url


#: What a model can do, as far as requests ask for it.
Capability = Literal["vision", "tools", "json_schema", "reasoning"]


class Conducted(BaseModel):
    """That a model's answers take several calls: who decides upon them, and which models serve."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    #: One of `shared.submissions.steps.conductors`.
    name: str
    #: The ids of the models that serve its roles; the others the row serves itself.
    roles: Mapping[str, ModelName] = {}


class CatalogueModel(Words):
    """One thing a customer can ask for by its catalogue id."""

    id: ModelName
    type: JobType
    provider: str
    upstream: ModelName
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
    #: Of an answer from the cache, which costs nothing else; a change of prices leaves it as it is.
    cached_answer: Micros = 0
    #: By size (`1024x1024`), or by quality and size (`high/1024x1024`).
    images: Mapping[str, Micros] = {}
    #: The prices of a whole request whose input is long.
    long_context: LongContextRow | None = None
    #: Qualities of pictures that cost what the size does; another one needs a price of its own in `images`.
    qualities: list[str] = Field(default=[])
    #: Service tiers that have a price of their own; the price above is the standard one's.
    service_tiers: Mapping[str, Tier] = {}
    #: Prices that change on a known day, by day.
    price_changes: list[DatedPrices] = Field(default=[])
    #: Tokens that `web_search_options` adds to the input at most; 0: they are refused.
    web_search: Tokens = 0
    #: Tokens that a picture shown to it costs at most, where that is more than the catalogue's `overheads.image`.
    image_tokens: Tokens = 0
    #: The same of a picture that is asked for in low or in high detail, where its provider minds that.
    image_details: Mapping[Literal["low", "high"], Tokens] = {}
    max_output: Tokens = 0
    #: The limit of an answer whose caller names none: what is held for, and what the provider is sent. 0: `max_output`.
    default_max_tokens: Tokens = 0
    dimensions: Tokens = 0
    #: Its answers take several calls, each of which is charged at the prices of this row. None: one call.
    conductor: Conducted | None = None
    #: Models that serve a request whose caller names no `routing.fallbacks`; the dearest of all is held for.
    fallbacks: list[str] = Field(default=[], max_length=3)
    #: Tokens of the window, of request and answer together; 0: not known.
    context: Tokens = 0
    #: What it can do; a request for another thing is a 400. None: not known, and nothing is refused.
    capabilities: list[Capability] | None = None
    #: What the provider admits of this model; 0: what its row says, or found out by calling.
    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)

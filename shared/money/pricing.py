"""What a job may cost at most, and what it did cost. Pure: integers in, integers out, one rounding (up) a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: Token prices are micro-credits per this many tokens.
PER_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price as fixed at acceptance: micro-credits per million tokens, and per image by size."""

    version: str
    input: int
    output: int
    images: Mapping[str, int] = field(default_factory=dict)
    #: Of input read from the provider's cache, and of input written into it; None: as other input.
    cached_input: int | None = None
    cache_write: int | None = None

    @property
    def dearest_input(self) -> int:
        """The most that a token of input can cost, wherever it is read from."""
        return max(self.input, self.cached_input or 0, self.cache_write or 0)


@dataclass(frozen=True, slots=True)
class Overheads:
    """Tokens that providers add around the caller's text."""

    request: int
    message: int
    tools: int
    tool: int
    image: int


@dataclass(frozen=True, slots=True)
class Amount:
    """The countable parts of a request; of what was asked for (upper bounds) or of what was used."""

    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    size: str = ""
    #: Of the input tokens, those read from the provider's cache and those written into it, as far as it told.
    cached_tokens: int = 0
    cache_creation_tokens: int = 0


def price(amount: Amount, at: Price) -> int:
    """The price in micro-credits of an amount; an image size without a price is a KeyError, never free.

    >>> price(Amount(input_tokens=42), Price("v", input=238_095_238, output=0))
    10000
    >>> price(Amount(1000, 0, cached_tokens=900), Price("v", input=1_000_000, output=0, cached_input=100_000))
    190
    """
    cached = min(amount.cached_tokens, amount.input_tokens)
    written = min(amount.cache_creation_tokens, amount.input_tokens - cached)
    tokens = (amount.input_tokens - cached - written) * at.input + amount.output_tokens * at.output
    tokens += cached * (at.input if at.cached_input is None else at.cached_input)
    tokens += written * (at.input if at.cache_write is None else at.cache_write)
    images = amount.images * at.images[amount.size] if amount.images else 0
    return -(-tokens // PER_TOKENS) + images


def worst_case(amount: Amount, at: Price) -> int:
    """The most that such an amount can cost, however much of its input is read from a cache or written into one."""
    return price(amount, replace(at, input=at.dearest_input, cached_input=None, cache_write=None))


def charge(used: Amount, at: Price, *, bound: int) -> tuple[int, int]:
    """What the customer pays and what the platform loses: the price, cut at the bound that was held."""
    full = price(used, at)
    return min(full, bound), max(full - bound, 0)


def input_bound(
    *,
    text_bytes: int,
    overheads: Overheads,
    messages: int = 0,
    tools: int = 0,
    images: int = 0,
    inputs: int = 0,
) -> int:
    """The most tokens an input can have: a byte-level tokenizer never makes more tokens than UTF-8 bytes."""
    around = overheads.request + overheads.message * (messages + inputs) + overheads.image * images
    if tools:
        around += overheads.tools + overheads.tool * tools
    return text_bytes + around

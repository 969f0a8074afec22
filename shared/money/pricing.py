"""What a job may cost at most, and what it did cost. Pure: integers in, integers out, one rounding (up) a job.

The counts of an Amount overlap as its comments say; `priced_counts` takes them apart, so that each token has one price.
A price that is not given is the next more general one's: a cache write for an hour costs what one for five minutes
does, a cache read or write what other input does, reasoning what other output does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

#: Token prices are micro-credits per this many tokens.
PER_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Micro-credits per million tokens; None: as the next more general one."""

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None

    @property
    def dearest_input(self) -> int:
        """The most that a token of input can cost, whatever a cache does with it."""
        return _dearest_input(self)

    @property
    def dearest_output(self) -> int:
        """The most that a token of output can cost, reasoning or not."""
        return _dearest_output(self)


@dataclass(frozen=True, slots=True)
class LongContext(TokenPrices):
    """The prices of a whole request whose input has more than `above` tokens; they fall back to each other alone."""

    above: int = 0


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """A model's price as fixed at acceptance: per million tokens, per image by size, and per request."""

    version: str
    input: int
    output: int
    images: Mapping[str, int] = field(default_factory=dict)
    #: Of input read from the provider's cache, and of input written into it; None: as other input.
    cached_input: int | None = None
    cache_write: int | None = None
    #: Of input written into the cache for an hour; None: as `cache_write`.
    cache_write_1h: int | None = None
    #: Of output tokens of reasoning; None: as other output.
    reasoning: int | None = None
    #: Micro-credits of each request, beside what it uses.
    request: int = 0
    long_context: LongContext | None = None

    @property
    def usual(self) -> TokenPrices:
        """The prices of tokens, but of a request of long context."""
        return TokenPrices(
            self.input, self.output, self.cached_input, self.cache_write, self.cache_write_1h, self.reasoning
        )

    def tokens(self, input_tokens: int) -> "TokenPrices | UnitPrices":
        """The prices of the tokens of a request with so much input; its own are those of the usual one."""
        long = self.long_context
        return long if long is not None and input_tokens > long.above else self

    @property
    def dearest_input(self) -> int:
        """The most that a token of input can cost, whatever a cache does with it and however long the request is."""
        usual = _dearest_input(self)
        return max(usual, self.long_context.dearest_input) if self.long_context else usual

    @property
    def dearest_output(self) -> int:
        """The most that a token of output can cost, reasoning or not, however long the request is."""
        usual = _dearest_output(self)
        return max(usual, self.long_context.dearest_output) if self.long_context else usual


def _dearest_input(at: TokenPrices | UnitPrices) -> int:
    return max(at.input, at.cached_input or 0, at.cache_write or 0, at.cache_write_1h or 0)


def _dearest_output(at: TokenPrices | UnitPrices) -> int:
    return max(at.output, at.reasoning or 0)


@dataclass(frozen=True, slots=True)
class Overheads:
    """Tokens that providers add around the caller's text."""

    request: int
    message: int
    tools: int
    tool: int
    image: int


@dataclass(slots=True)
class Amount:
    """The countable parts of one request; of what was asked for (upper bounds) or of what was used.

    Nothing changes one; it is not frozen, since one is made for each job and freezing doubles what making one costs.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    size: str = ""
    #: Of the input tokens, those read from the provider's cache and those written into it, as far as it told.
    cached_tokens: int = 0
    cache_creation_tokens: int = 0
    #: Of those written into it, those that it keeps for an hour.
    cache_creation_1h_tokens: int = 0
    #: Of the output tokens, those of reasoning.
    reasoning_tokens: int = 0


PricedKind = Literal[
    "input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning", "images", "request"
]


@dataclass(frozen=True, slots=True)
class PricedCount:
    """So many of one thing at one price: micro-credits per `per` of them."""

    what: PricedKind
    count: int
    price: int
    per: int = PER_TOKENS

    @property
    def exact(self) -> int:
        """What it costs, in millionths of a micro-credit."""
        return self.count * self.price * (PER_TOKENS // self.per)


def priced_counts(amount: Amount, at: UnitPrices) -> list[PricedCount]:
    """The amount as disjoint counts, each with its price; an image size without a price is a KeyError, never free."""
    prices = at.tokens(amount.input_tokens)
    cached = min(amount.cached_tokens, amount.input_tokens)
    written = min(amount.cache_creation_tokens, amount.input_tokens - cached)
    hour = min(amount.cache_creation_1h_tokens, written)
    reasoning = min(amount.reasoning_tokens, amount.output_tokens)
    write = _or(prices.cache_write, prices.input)
    counts = [
        PricedCount("input", amount.input_tokens - cached - written, prices.input),
        PricedCount("cached_input", cached, _or(prices.cached_input, prices.input)),
        PricedCount("cache_write", written - hour, write),
        PricedCount("cache_write_1h", hour, _or(prices.cache_write_1h, write)),
        PricedCount("output", amount.output_tokens - reasoning, prices.output),
        PricedCount("reasoning", reasoning, _or(prices.reasoning, prices.output)),
    ]
    if amount.images:
        counts.append(PricedCount("images", amount.images, at.images[amount.size], 1))
    if at.request:
        counts.append(PricedCount("request", 1, at.request, 1))
    return counts


def _exact(amount: Amount, at: UnitPrices) -> int:
    """What `priced_counts` come to, in millionths of a micro-credit: each job that ends is priced, mostly of two."""
    prices, whole = at.tokens(amount.input_tokens), at.request
    if amount.images:
        whole += amount.images * at.images[amount.size]
    plain, exact = amount.input_tokens, 0
    if amount.cached_tokens or amount.cache_creation_tokens:
        cached = min(amount.cached_tokens, plain)
        written = min(amount.cache_creation_tokens, plain - cached)
        hour, write = min(amount.cache_creation_1h_tokens, written), _or(prices.cache_write, prices.input)
        plain -= cached + written
        exact = cached * _or(prices.cached_input, prices.input) + (written - hour) * write
        exact += hour * _or(prices.cache_write_1h, write)
    reasoning = min(amount.reasoning_tokens, amount.output_tokens)
    if reasoning:
        exact += reasoning * _or(prices.reasoning, prices.output)
    return exact + plain * prices.input + (amount.output_tokens - reasoning) * prices.output + whole * PER_TOKENS


def _or(price: int | None, general: int) -> int:
    return general if price is None else price


def price(amount: Amount, at: UnitPrices) -> int:
    """The price in micro-credits of an amount; an image size without a price is a KeyError, never free.

    >>> price(Amount(input_tokens=42), UnitPrices("v", input=238_095_238, output=0))
    10000
    >>> price(Amount(1000, 0, cached_tokens=900), UnitPrices("v", input=1_000_000, output=0, cached_input=100_000))
    190
    """
    return price_of_all([(amount, at)])


def price_of_all(parts: Iterable[tuple[Amount, UnitPrices]]) -> int:
    """The price in micro-credits of several amounts, each at its own price, rounded once.

    >>> price_of_all([(Amount(1), UnitPrices("v", 600_000, 0)), (Amount(1), UnitPrices("v", 400_000, 0))])
    1
    """
    exact = 0
    for amount, at in parts:
        exact += _exact(amount, at)
    return -(-exact // PER_TOKENS)


def reachable(most: Amount, at: UnitPrices) -> UnitPrices:
    """The price without that of long context, where no input within this bound is so long."""
    if at.long_context is None or most.input_tokens > at.long_context.above:
        return at
    return replace(at, long_context=None)


def worst_case(most: Amount, at: UnitPrices) -> int:
    """The most that an amount within these bounds can cost, whatever of it is cached, written, reasoning or long.

    >>> long = LongContext(input=2_000_000, output=0, above=100)
    >>> [worst_case(Amount(tokens), UnitPrices("v", 1_000_000, 0, long_context=long)) for tokens in (100, 101)]
    [100, 202]
    """
    possible = reachable(most, at)
    exact = most.input_tokens * possible.dearest_input + most.output_tokens * possible.dearest_output
    whole = at.request + (most.images * at.images[most.size] if most.images else 0)
    return -(-(exact + whole * PER_TOKENS) // PER_TOKENS)


def dearest(most: Amount, at: UnitPrices) -> UnitPrices:
    """The price at which an amount within these bounds costs the most."""
    possible = reachable(most, at)
    return UnitPrices(at.version, possible.dearest_input, possible.dearest_output, at.images, request=at.request)


def charge(used: Amount, at: UnitPrices, *, bound: int) -> tuple[int, int]:
    """What the customer pays and what the platform loses: the price, cut at the bound that was held."""
    return charge_of_all([(used, at)], bound=bound)


def charge_of_all(parts: Iterable[tuple[Amount, UnitPrices]], *, bound: int) -> tuple[int, int]:
    """The same of several amounts that one job has used, each at its own price."""
    full = price_of_all(parts)
    return min(full, bound), max(full - bound, 0)


def input_bound(
    *,
    text_bytes: int,
    overheads: Overheads,
    messages: int = 0,
    tools: int = 0,
    image_tokens: int = 0,
    inputs: int = 0,
) -> int:
    """The most tokens an input can have: a byte-level tokenizer never makes more tokens than UTF-8 bytes."""
    around = overheads.request + overheads.message * (messages + inputs) + image_tokens
    if tools:
        around += overheads.tools + overheads.tool * tools
    return text_bytes + around

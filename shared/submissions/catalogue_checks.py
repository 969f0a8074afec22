"""Checks the catalogue's rows: each fault at the line of its key, all of them at once."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.money.pricing import Overheads
from shared.submissions.catalogue_files import Path_, Rows, Source, SourcedRow, meant
from shared.submissions.catalogue_rows import Capability, CatalogueModel, Conducted
from shared.submissions.job_types import JobType
from shared.submissions.price_changes import PRICES
from shared.submissions.price_rows import DatedPrices, Tier
from shared.submissions.steps.conductors import CONDUCTORS

T = TypeVar("T")


def checked_rows(rows: Mapping[str, SourcedRow], kind: str, type: type[T], key: str, faults: list[str]) -> dict[str, T]:
    """Return the valid rows of a kind; the faults of the others are added to `faults`."""
    found = {}
    for name, row in rows.items():
        if not isinstance(row.data, dict):
            faults.append(row.source.fault((kind, name), "must be a table"))
            continue
        try:
            found[name] = TypeAdapter(type).validate_python({**row.data, key: name})
        except ValidationError as error:
            faults += _faults(row.source, (kind, name), error, type)
    return found


def checked_overheads(rows: Rows, faults: list[str]) -> Overheads | None:
    if rows.overheads is None:
        faults.append("overheads are missing")
        return None
    try:
        return TypeAdapter(_Overheads).validate_python(rows.overheads.data).value
    except ValidationError as error:
        faults += _faults(rows.overheads.source, ("overheads",), error, _Overheads)
        return None


#: Tokens around one thing; thousands of messages of them are still a count that fits into 64 bits, priced.
Overhead = Annotated[int, Field(ge=0, le=1_000_000)]


class _Overheads(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Overhead
    message: Overhead
    tools: Overhead
    tool: Overhead
    image: Overhead

    @property
    def value(self) -> Overheads:
        return Overheads(**self.model_dump())


def _faults(source: Source, path: Path_, error: ValidationError, type: Any) -> list[str]:
    """Each fault of a row, at its key's line."""
    found = []
    for one in error.errors():
        place = (*path, *_place(one["loc"]))
        said = one["msg"].removeprefix("Value error, ")
        said = said[:1].lower() + said[1:]
        if one["type"] == "extra_forbidden":
            known = _known(type, one["loc"])
            said = f"unknown key{meant(str(one['loc'][-1]), known)}"
        elif one["type"] == "missing":
            said = "is missing"
        elif "capabilities" in place:
            said = f"{said}{meant(str(one['input']), get_args(Capability))}"
        found.append(source.fault(place, said))
    return found


def _place(loc: tuple[int | str, ...]) -> Path_:
    """The path of a fault: the number of a table among its like is kept, that of an entry of a list is not."""
    return tuple(key for at, key in enumerate(loc) if isinstance(key, str) or at + 1 < len(loc))


def _known(type: Any, loc: tuple[int | str, ...]) -> Collection[str]:
    """The keys that a key of a row may have been meant for."""
    if len(loc) == 1:
        return list(type.model_fields)
    if loc[0] == "price_changes" and len(loc) == 3:
        return [field.alias or name for name, field in DatedPrices.model_fields.items()]
    return ()


def wrong(model: CatalogueModel, rows: Rows) -> list[tuple[Path_, str]]:
    """Return what is wrong with a model beside the other rows: the path of the key, and the message."""
    found: list[tuple[Path_, str]] = []
    if model.provider not in rows.providers:
        found.append(
            (("provider",), f"provider {model.provider!r} is not defined{meant(model.provider, rows.providers)}")
        )
    found += _unpriced(model)
    found += _wrong_tiers(model.type, model.service_tiers)
    found += [(("defaults", name), "cannot be a default, because it changes what a request costs")
              for name in model.defaults if name in _COSTLY]  # fmt: skip
    for name in model.fallbacks:
        if name not in rows.models:
            found.append((("fallbacks",), f"{model.type} model {name!r} not found{meant(name, rows.models)}"))
        elif (type := _type_of(rows.models[name])) != model.type:
            found.append((("fallbacks",), f"model {name!r} has type {type}, not {model.type}"))
        elif "conductor" in rows.models[name].data:
            found.append((("fallbacks",), f"model {name!r} has a conductor"))
    if model.conductor is not None:
        found += [(("conductor", *path), said) for path, said in _wrong_conductor(model, model.conductor, rows)]
    if model.type == "chat.completion" and not model.max_output:
        found.append((("max_output",), "is missing"))
    if model.default_max_tokens > model.max_output:
        found.append((("default_max_tokens",), f"must not be above max_output, which is {model.max_output}"))
    return found + [(("price_changes", at, *path), said) for at, path, said in _wrong_changes(model)]


def _wrong_conductor(model: CatalogueModel, row: Conducted, rows: Rows) -> Iterator[tuple[Path_, str]]:
    """A conductor that there is, and for each of its roles a model of the right type."""
    if row.name not in CONDUCTORS:
        yield ("name",), f"{row.name!r} is not a conductor{meant(row.name, CONDUCTORS)}"
        return
    roles = CONDUCTORS[row.name].roles
    for role in row.roles.keys() - roles.keys():
        yield ("roles", role), f"unknown role{meant(role, roles)}"
    for role, type in roles.items():
        id = row.roles.get(role)
        served = model.type if id is None else _type_of(rows.models[id]) if id in rows.models else None
        if served != type:
            yield ("roles", role), f"must be the id of a model of type {type}"
        elif id is not None and isinstance(rows.models[id].data, dict) and "conductor" in rows.models[id].data:
            yield ("roles", role), f"model {id!r} has a conductor itself"
    for name in ("fallbacks", "service_tiers", "request", "default_max_tokens"):
        if getattr(model, name):
            yield (), f"cannot stand beside {name}"


#: Service tiers that are asked for without a word, or have the model's own price.
_USUAL_TIERS: Final = frozenset({"", "auto", "default"})
#: Fields that cost, of which a default would be in no hold.
_COSTLY: Final = frozenset("n max_tokens max_completion_tokens service_tier web_search_options prediction".split())
#: The prices that a model of a type cannot do without; 0 is one, that is said.
_PRICED: Final[Mapping[str, tuple[str, ...]]] = {"chat.completion": ("input", "output"), "embedding": ("input",)}


def _unpriced(model: CatalogueModel) -> list[tuple[Path_, str]]:
    """What has no price, though it would be used: a price that is not known is never 0."""
    if not (model.input or model.output or model.images or model.request):
        return [((), "price is missing")]
    needed = _PRICED.get(model.type, ())
    return [((name,), "is missing") for name in needed if name not in model.model_fields_set]


def _wrong_tiers(type: JobType, tiers: Mapping[str, Tier]) -> Iterator[tuple[Path_, str]]:
    for name, row in tiers.items():
        if name in _USUAL_TIERS:
            yield ("service_tiers", name), "is the usual tier, whose price is the model's own"
        for price in _PRICED.get(type, ()):
            if price not in row.model_fields_set:
                yield ("service_tiers", name, price), "is missing"


def _wrong_changes(model: CatalogueModel) -> Iterator[tuple[int, Path_, str]]:
    """What is wrong with the prices to come: their days ascend, and each names every price that the row has."""
    for at, change in enumerate(model.price_changes):
        if at and change.day <= model.price_changes[at - 1].day:
            yield at, ("from",), f"must be after {model.price_changes[at - 1].day}"
        needed = [name for name in PRICES if getattr(model, name) != CatalogueModel.model_fields[name].default]
        for name in {**dict.fromkeys(needed), **dict.fromkeys(_PRICED.get(model.type, ()))}:
            if name not in change.model_fields_set:
                yield at, (name,), "is missing: the row has this price"
        for tier in model.service_tiers:
            if tier not in change.service_tiers:
                yield at, ("service_tiers", tier), "is missing: the row has this tier"
        for path, said in _wrong_tiers(model.type, change.service_tiers):
            yield at, path, said
        if not (change.input or change.output or change.images or change.request):
            yield at, (), "price is missing"


def _type_of(row: SourcedRow) -> Any:
    return row.data.get("type") if isinstance(row.data, dict) else None

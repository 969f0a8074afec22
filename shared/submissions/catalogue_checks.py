"""Checks the catalogue's rows: each fault at the line of its key, all of them at once."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.money.pricing import Overheads
from shared.submissions.catalogue_files import Row, Rows, Source, meant
from shared.submissions.catalogue_rows import Capability, CatalogueModel

T = TypeVar("T")


def checked_rows(rows: Mapping[str, Row], kind: str, type: type[T], key: str, faults: list[str]) -> dict[str, T]:
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


def _faults(source: Source, path: tuple[str, ...], error: ValidationError, type: Any) -> list[str]:
    """Each fault of a row, at its key's line."""
    found = []
    for one in error.errors():
        place = (*path, *(str(key) for key in one["loc"] if not isinstance(key, int)))
        said = one["msg"][0].lower() + one["msg"][1:]
        if one["type"] == "extra_forbidden":
            known = type.model_fields if len(one["loc"]) == 1 else ()
            said = f"unknown key{meant(str(one['loc'][-1]), known)}"
        elif one["type"] == "missing":
            said = "is missing"
        elif "capabilities" in place:
            said = f"{said}{meant(str(one['input']), get_args(Capability))}"
        found.append(source.fault(place, said))
    return found


def wrong(model: CatalogueModel, rows: Rows) -> list[tuple[tuple[str, ...], str]]:
    """Return what is wrong with a model beside the other rows: the path of the key, and the message."""
    found: list[tuple[tuple[str, ...], str]] = []
    if model.provider not in rows.providers:
        found.append(
            (("provider",), f"provider {model.provider!r} is not defined{meant(model.provider, rows.providers)}")
        )
    found += _unpriced(model)
    found += [(("service_tiers", name), "is the usual tier, whose price is the model's own")
              for name in model.service_tiers if name in _USUAL_TIERS]  # fmt: skip
    found += [(("defaults", name), "cannot be a default, because it changes what a request costs")
              for name in model.defaults if name in _COSTLY]  # fmt: skip
    for name in model.fallbacks:
        if name not in rows.models or _type_of(rows.models[name]) != model.type:
            found.append((("fallbacks",), f"{model.type} model {name!r} not found{meant(name, rows.models)}"))
    if model.type == "chat.completion" and not model.max_output:
        found.append((("max_output",), "is missing"))
    return found


#: Service tiers that are asked for without a word, or have the model's own price.
_USUAL_TIERS: Final = frozenset({"", "auto", "default"})
#: Fields that cost, of which a default would be in no hold.
_COSTLY: Final = frozenset("n max_tokens max_completion_tokens service_tier web_search_options prediction".split())
#: The prices that a model of a type cannot do without; 0 is one, that is said.
_PRICED: Final[Mapping[str, tuple[str, ...]]] = {"chat.completion": ("input", "output"), "embedding": ("input",)}


def _unpriced(model: CatalogueModel) -> list[tuple[tuple[str, ...], str]]:
    """What has no price, though it would be used: a price that is not known is never 0."""
    if not (model.input or model.output or model.images or model.request):
        return [((), "price is missing")]
    needed = _PRICED.get(model.type, ())
    lacking: list[tuple[tuple[str, ...], str]] = [
        ((name,), "is missing") for name in needed if name not in model.model_fields_set
    ]
    for tier, row in model.service_tiers.items():
        given = row.model_fields_set
        lacking += [(("service_tiers", tier, name), "is missing") for name in needed if name not in given]
    return lacking


def _type_of(row: Row) -> Any:
    return row.data.get("type") if isinstance(row.data, dict) else None

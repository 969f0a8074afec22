"""The `model` of a request: a name, or an object by which one is selected; its fields, and how they are read.

Costs are credits per character of text, exact decimals: a token counts as 4 characters.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from shared.errors import InvalidRequest
from shared.money.pricing import PER_TOKENS
from shared.submissions.job_types import JobType
from shared.submissions.routing import Measure
from shared.submissions.shapes import NullIsAbsent, invalid

CHARACTERS_PER_TOKEN: Final = 4
_MICROS: Final = 1_000_000
#: Names in one list.
MOST_NAMES: Final = 64


def _finite(value: float) -> float:
    if not value < float("inf"):
        raise ValueError("must be a finite number")
    return value


_Weight = Annotated[int | float, Field(ge=0, le=1_000_000), AfterValidator(_finite)]
_DECIMAL: Final = re.compile(r"^[0-9]{1,12}(\.[0-9]{1,18})?$")


def _cost(value: Any) -> int | float | str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    if number or (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        return value  # type: ignore[no-any-return]
    raise ValueError("must be a number of at least 0, or one as a decimal string")


_Cost = Annotated[
    int | float | str,
    PlainValidator(_cost),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DECIMAL.pattern}],
            "description": "In credits per character (a quarter of a token), as a number or a decimal string.",
        }
    ),
]
_Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MOST_NAMES)]


class Weights(NullIsAbsent):
    """How much each measure counts; one that is not named counts nothing. At least one must be above 0."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    price: _Weight | None = None
    error: _Weight | None = None
    start_latency: _Weight | None = None
    end_latency: _Weight | None = None

    def given(self) -> dict[Measure, float]:
        """Those above 0."""
        found: dict[Measure, float | None] = {
            "price": self.price,
            "error": self.error,
            "start_latency": self.start_latency,
            "end_latency": self.end_latency,
        }
        return {name: float(weight) for name, weight in found.items() if weight}


class ModelSelection(NullIsAbsent):
    """Selects the model: from `llms`, or from all, without `exclude_llms` and those above the maximum costs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    llms: _Names | None = Field(default=None, min_length=1)
    exclude_llms: _Names | None = None
    weights: Weights | None = None
    max_input_cost: _Cost | None = None
    max_output_cost: _Cost | None = None


def most_micros(cost: float | str | None) -> Decimal | None:
    """A maximum cost in micro-credits per million tokens, as prices are; exact.

    >>> most_micros(0.0000025), most_micros("0.0000000625"), most_micros(None)
    (Decimal('10000000.0000000'), Decimal('250000.0000000000'), None)
    """
    return None if cost is None else Decimal(str(cost)) * CHARACTERS_PER_TOKEN * PER_TOKENS * _MICROS


def read_model(type: JobType, value: Any, at: str) -> tuple[str, ModelSelection | None]:
    """The name that is asked for, or an empty one and by what a model is selected; a 400 names the field."""
    if isinstance(value, str) and value:
        return value, None
    if type != "chat.completion" or not (value is None or isinstance(value, dict)):
        objects = " or an object" if type == "chat.completion" else ""
        raise InvalidRequest(f"{at}model is required and must be a string{objects}", param=f"{at}model")
    try:
        selection = ModelSelection.model_validate(value or {})
    except ValidationError as error:
        raise invalid(error, f"{at}model.") from None
    if selection.weights is not None and not selection.weights.given():
        raise InvalidRequest(f"{at}model.weights: at least one weight must be above 0", param=f"{at}model.weights")
    return "", selection

"""What a budget of a key is. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

#: What a budget is for: a calendar day, a calendar month, UTC, or the key's whole life.
BudgetPeriod = Literal["day", "month", "total"]
BUDGET_PERIODS: Final[tuple[BudgetPeriod, ...]] = get_args(BudgetPeriod)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a key's jobs may hold and be charged in a period, in micro-credits."""

    period: BudgetPeriod
    micros: int

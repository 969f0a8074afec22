"""What jobs are likely to cost: by the size of their input, and by how long this account's answers have been of late.

Beside the bound, which is the most they can cost, and never instead of it: nothing is held or charged by an estimate.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, func, select

from shared import clock
from shared.db.models import daily_usage
from shared.money.pricing import PER_TOKENS

#: Usage of so many days counts, today among them.
DAYS: Final = 30


@dataclass(slots=True)
class Likely:
    """Jobs by what their likely cost depends on."""

    #: What is known of them but for their output, in millionths of a micro-credit.
    fixed: int = 0
    #: How many by (the model that is asked first, the most tokens of output, the price of a million of them).
    jobs: Counter[tuple[str, int, int]] = field(default_factory=Counter)

    def add(self, model: str, *, fixed: int, most_output: int, price: int) -> None:
        """One more job."""
        self.fixed += fixed
        self.jobs[model, most_output, price] += 1

    def extend(self, more: "Likely") -> None:
        """Further jobs."""
        self.fixed += more.fixed
        self.jobs.update(more.jobs)

    @property
    def models(self) -> set[str]:
        return {model for model, _, _ in self.jobs}

    def micros(self, past: "Past") -> int:
        """What they are likely to cost, in micro-credits, by a past that has all their models."""
        output = sum(
            count * min(past.output_tokens(model), most) * price for (model, most, price), count in self.jobs.items()
        )
        return -(-(self.fixed + output) // PER_TOKENS)


@dataclass(frozen=True, slots=True)
class Past:
    """What an account has used: jobs and tokens of output by model, and on how many days."""

    by_model: dict[str, tuple[int, int]]
    days: int

    @property
    def jobs(self) -> int:
        return sum(jobs for jobs, _ in self.by_model.values())

    def output_tokens(self, model: str) -> int:
        """The mean of an answer, rounded up."""
        jobs, tokens = self.by_model[model]
        return -(-tokens // jobs)


def past(connection: Connection, account_id: str, models: Iterable[str]) -> Past | None:
    """The account's usage of these models in the last DAYS; None: of one of them there is none."""
    wanted = sorted(models)
    now = clock.now_micros()
    first = clock.day(now - (DAYS - 1) * 86_400 * clock.MICROS)
    usage = daily_usage.c
    mine = (usage.account_id == account_id, usage.test.is_(False), usage.day >= first, usage.model.in_(wanted))
    sums = select(usage.model, func.sum(usage.jobs), func.sum(usage.completion_tokens)).where(*mine)
    found = {model: (int(jobs), int(tokens)) for model, jobs, tokens in connection.execute(sums.group_by(usage.model))}
    if not wanted or any(not found.get(model, (0, 0))[0] for model in wanted):
        return None
    days = connection.execute(select(func.count(usage.day.distinct())).where(*mine)).scalar_one()
    return Past(found, int(days))

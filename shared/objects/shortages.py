"""The shortage object of a 402, of a dry run and of a failed batch. Pure."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from shared.objects.fields import Count, Credits, Time


class FittingFields(TypedDict):
    """What would fit: `max_tokens` in each job, or the first `fitting_jobs` of `jobs`, or each line by itself."""

    max_tokens: NotRequired[Count]
    jobs: NotRequired[Count]
    fitting_jobs: NotRequired[Count]
    fits_in_slices: NotRequired[bool]


class BudgetFields(TypedDict):
    """A budget of an API key as it stands; `renews_at` is null for one that never does."""

    period: Literal["day", "month", "total"]
    credits: Credits
    used_credits: Credits
    held_credits: Credits
    renews_at: Time | None


class ShortageFields(FittingFields):
    """What the account, or the budget of the API key, lacks, for programs."""

    required_credits: Credits
    available_credits: Credits
    held_credits: Credits
    held_by_jobs: NotRequired[Count]
    budget: NotRequired[BudgetFields]


class BasedOn(TypedDict):
    """The account's jobs of the same models that an estimate is based on, and the days on which there were any."""

    jobs: Count
    days: Count


class Estimate(TypedDict):
    """Credits: at most `bound`, which is what is held; `likely`, given the length of earlier answers of the account."""

    bound: Credits
    likely: Credits
    based_on: BasedOn


class Shortage(ShortageFields):
    """How many credits are missing. The balance covers `max_tokens` per line, or the first `fitting_jobs` lines.

    `fits_in_slices`: each line could be held for alone, so that the batch would run with `hold: slices`.
    """

    message: str

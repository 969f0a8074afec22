"""The shortage object of a 402, of a dry run and of a failed batch. Pure."""

from typing import NotRequired

from typing_extensions import TypedDict

from shared.objects.fields import Count, Credits


class ShortageFields(TypedDict):
    """What the account lacks, for programs."""

    required_credits: Credits
    available_credits: Credits
    held_credits: Credits
    held_by_jobs: NotRequired[Count]
    max_tokens: NotRequired[Count]
    jobs: NotRequired[Count]
    fitting_jobs: NotRequired[Count]
    fits_in_slices: NotRequired[bool]


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

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


class Shortage(ShortageFields):
    """How many credits are missing. The balance covers `max_tokens` per line, or the first `fitting_jobs` lines."""

    message: str

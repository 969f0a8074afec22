"""Which of a job's offers serves it next. Pure: no clock, no network, no database.

The candidates were fixed, with their prices, when the job was accepted; nothing here adds to them.
"""

from collections.abc import Collection, Sequence

from shared.submissions.offers import Offer


def choose(
    offers: Sequence[Offer], *, after: int, windows: Sequence[int] | None = None, paused: Collection[str] = ()
) -> int | None:
    """The index of the offer to fall back to after the one at `after` has been given up; None when none is left.

    An offer of the provider that was just given up is passed over while another provider's is left, and the same model
    in another service tier altogether: which tier serves is `workers.running.tiers`' affair. `windows`: the job
    was too long for its model; each offer's window in tokens, 0 where it is not known. One no larger is passed over.
    `paused`: providers that an operator has paused; their offers are passed over while another is left.
    """
    given_up = offers[after]
    same = (given_up.provider, given_up.model)
    rest: Sequence[int] = [
        index
        for index in range(after + 1, len(offers))
        if (offers[index].provider, offers[index].model) != same or offers[index].service_tier == given_up.service_tier
    ]
    if windows is not None:
        rest = [index for index in rest if not 0 < windows[index] <= windows[after]]
    rest = [index for index in rest if offers[index].provider not in paused] or rest
    elsewhere = [index for index in rest if offers[index].provider != offers[after].provider]
    return next(iter(elsewhere or rest), None)

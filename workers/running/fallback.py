"""Which of a job's offers serves it next. Pure: no clock, no network, no database.

The candidates were fixed, with their prices, when the job was accepted; nothing here adds to them.
"""

from collections.abc import Sequence

from shared.submissions.schemas import Offer


def choose(offers: Sequence[Offer], *, after: int, windows: Sequence[int] | None = None) -> int | None:
    """The index of the offer to fall back to after the one at `after` has been given up; None when none is left.

    An offer of the provider that was just given up is passed over while another provider's is left. `windows`: the job
    was too long for its model; each offer's window in tokens, 0 where it is not known. One no larger is passed over.
    """
    rest: Sequence[int] = range(after + 1, len(offers))
    if windows is not None:
        rest = [index for index in rest if not 0 < windows[index] <= windows[after]]
    elsewhere = [index for index in rest if offers[index].provider != offers[after].provider]
    return next(iter(elsewhere or rest), None)

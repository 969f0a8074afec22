"""What is known of the likely cost of a job before it runs, for a dry run."""

from collections.abc import Sequence

from shared.money.estimates import Likely
from shared.money.pricing import PER_TOKENS
from shared.submissions import quote, token_estimates
from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import Submission


def add(likely: Likely, submission: Submission, made: Sequence[Offer]) -> None:
    """One more job, as the offer that is asked first would serve it."""
    first, request = made[0], submission.request
    if submission.type == "chat.completion" and not first.course:
        tokens = token_estimates.asked(request, catalogue().overheads)
        most = (request.get("max_tokens") or first.max_output) * (request.get("n") or 1)
        fixed = tokens * first.input + first.request * PER_TOKENS
        likely.add(first.model, fixed=fixed, most_output=most, price=first.output)
        return
    known = quote.bound(made) * PER_TOKENS
    if submission.type == "embedding":
        known = len(submission.json) // token_estimates.BYTES_PER_TOKEN * first.input + first.request * PER_TOKENS
    likely.add(first.model, fixed=known, most_output=0, price=0)

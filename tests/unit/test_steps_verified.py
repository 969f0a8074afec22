"""What a job of several calls may have been charged, as its rows are checked later."""

import pytest

from shared.strict_json import dumps
from shared.submissions.offers import Offer
from shared.verify import steps

_KEPT = {"provider": "openai", "model": "m", "upstream": "m", "version": "v", "max_output": 100, "bound_micros": 10_000}
OFFERS = [
    Offer(**_KEPT, input=2_000_000, output=0, service_tier="priority"),  # type: ignore[arg-type]
    Offer(**_KEPT, input=1_000_000, output=0, service_tier="default"),  # type: ignore[arg-type]
]
ASKED = {"step": "ask", "offer": 0, "prompt_tokens": 10, "completion_tokens": 0}


@pytest.mark.parametrize(("charged", "wrong"), [(20 + 5, False), (20 + 10, False), (20, True)])
def test_what_was_sent_on_may_have_the_price_of_either_tier(charged: int, wrong: bool) -> None:
    """The row of a job that its worker did not live to end names provider and model, and no tier."""
    row = {"status": "cancelled", "test": False, "offers": dumps(OFFERS), "provider": "openai", "served_model": "m"}
    row |= {"prompt_tokens": 15, "completion_tokens": 0, "bound_micros": 10_000, "charged_micros": charged}
    assert (steps.fault(row, [ASKED]) is not None) is wrong

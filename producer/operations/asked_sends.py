"""Sends to webhooks that customers ask for, test events and redeliveries: how many a minute."""

from collections.abc import Sequence
from typing import Final

from producer.admission.limits import Limits
from producer.admission.limits.rates import RateLimit
from shared.key_holders import KeyHolder

#: To one webhook, and of one account, however many it makes and deletes. One event that is sent again counts for each
#: webhook that it goes to, at most `producer.operations.webhooks.MOST` and a callback.
PER_MINUTE: Final = 10
OF_ACCOUNT_PER_MINUTE: Final = 60


async def count(limits: Limits, holder: KeyHolder, webhook_ids: Sequence[str]) -> None:
    """Count a send to each of these; 429 when one of them, or the account, has had its few."""
    of_account = RateLimit(f"webhooks.{holder.account_id}", OF_ACCOUNT_PER_MINUTE)
    allowance = await limits.admit(of_account, max(1, len(webhook_ids)))
    allowance.check("tests and redeliveries of this account's webhooks")
    for id in webhook_ids:
        allowance = await limits.admit(RateLimit(f"webhook.{id}", PER_MINUTE))
        allowance.check(f"tests and redeliveries of webhook {id}")

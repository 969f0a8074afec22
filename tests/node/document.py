"""The part of the API's document that our SDK for JavaScript has types of: `python -m tests.node.document` prints it.

The objects that it names, and what they are made of; openapi-typescript makes producer/client/js/src/api.ts of it.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from tests import contract

#: Answers and requests that the SDK has names for; what OpenAI's SDK has types for is not among them.
NAMES = (
    "AutoTopUp Balance Batch BatchSpec CallbackSecret CancelSpec CreditHistory DeletedWebhook Delivery Event "
    "EventType File Invoice InvoiceLinks Job JobCount JobInput JobRequest Jobs JobsCancelled JobsDryRun Model "
    "NewCallbackSecret NewSecret PurchaseSpec RedeliverSpec Redelivery Threshold Thresholds Transfer UsageGroup "
    "UsageGroups UsageReport UsageRow UsageSeries Webhook WebhookChange WebhookSpec"
).split()


def part() -> dict[str, Any]:
    """A document of these schemas and of those that they refer to, without paths."""
    whole = contract.document()
    schemas = whole["components"]["schemas"]
    wanted, found = list(NAMES), {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = schemas[name]
            wanted.extend(_referred(found[name]))
    components = {"schemas": dict(sorted(found.items()))}
    return {"openapi": whole["openapi"], "info": whole["info"], "paths": {}, "components": components}


def _referred(schema: Any) -> Iterator[str]:
    yield from re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema))


if __name__ == "__main__":
    json.dump(part(), sys.stdout, indent=1, ensure_ascii=False)

"""The part of the API's document that our SDK for JavaScript has types of: the objects named here, and what is in them.

`make sdk-types` writes it, has openapi-typescript make producer/client/js/src/api.ts of it, and keeps its digest.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import contract

ROOT = Path(__file__).parents[2]
JS = ROOT / "producer" / "client" / "js"
#: The digest of what the types that are checked in were made from.
DIGEST = JS / "document.sha256"
#: Answers and requests that the SDK has names for; what OpenAI's SDK has types for is not among them.
NAMES = (
    "AutoTopUp Balance Batch BatchSpec CallbackSecret CancelSpec CreditHistory DeletedWebhook Delivery Event "
    "EventType File Invoice InvoiceLinks Job JobCount JobInput JobRequest JobSummary Jobs JobsCancelled JobsDryRun "
    "Model NewCallbackSecret NewSecret PurchaseSpec RedeliverSpec Redelivery Threshold Thresholds Transfer UsageGroup "
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


def digest() -> str:
    """What tells two parts apart, as a line."""
    return hashlib.sha256(json.dumps(part(), sort_keys=True).encode()).hexdigest() + "\n"


if __name__ == "__main__":
    (JS / "document.json").write_text(json.dumps(part(), indent=1, ensure_ascii=False))
    DIGEST.write_text(digest())

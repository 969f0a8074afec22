"""The names of the queues, and the provider and lane of each. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

Lane = Literal["realtime", "batch"]
LANES: tuple[Lane, ...] = get_args(Lane)
WEBHOOKS = "webhooks"
MAINTENANCE = "maintenance"
#: The Celery task that the queues of providers bring.
OFFER: Final = "offer"
#: The broker's other queues, and the task that each of them brings.
TASKS: Final[Mapping[str, str]] = {WEBHOOKS: "deliver", MAINTENANCE: OFFER}
#: Jobs that have lost a worker wait here; no broker queue: workers.process.probation takes them from the rows.
PROBATION = "probation"


def queue_name(provider: str, lane: Lane) -> str:
    """`openai.realtime`."""
    return f"{provider}.{lane}"


def provider_of(queue: str) -> str:
    """`openai` of `openai.realtime`."""
    return queue.rpartition(".")[0]


def lane_of(queue: str) -> str:
    """`realtime` of `openai.realtime`; empty of a queue that is no provider's, such as probation."""
    lane = queue.rpartition(".")[2]
    return lane if lane in LANES else ""

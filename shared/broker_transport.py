"""kombu's Redis transport without acknowledgements: a message is a doorbell, and the row is the truth.

What a worker has not acknowledged is kept twice in Redis, in pipelines that cost two thirds of the CPU of a message; it
is of use to nobody here, since a lost message costs a second look and never a job. With nothing unacknowledged there is
also nothing to restore, in which Celery 5.7 workers die when Redis goes away (deploy/adr/0012).
"""

from kombu.transport import TRANSPORT_ALIASES, redis


class QoS(redis.QoS):
    """Keeps no account of what has been delivered; so neither does it limit what is fetched ahead."""

    def append(self, message: object, delivery_tag: str) -> None:
        """A message has come."""

    def ack(self, delivery_tag: str) -> None:
        """It has been handed on."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Nobody knows its task; it is dropped."""


class Channel(redis.Channel):
    """A channel of this transport."""

    QoS = QoS


class Transport(redis.Transport):
    """kombu's, with such channels."""

    Channel = Channel


def use() -> None:
    """Have every `redis://` and `rediss://` address of this process served by it, under its usual name.

    Celery's setting `broker_transport` would change the addresses that Flower and the logs show.
    """
    TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = f"{__name__}:Transport"

"""kombu's transport to RabbitMQ, with what it leaves to chance: deadlines, certificates, and queues that differ.

py-amqp waits for an answer for as long as it takes, and a RabbitMQ without memory or disk left answers no publish. Its
TLS knows nothing of a private authority, nor, without options, of the name that the certificate must have.
"""

import logging
import random
import ssl
from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed
from amqp.transport import SSLTransport, TCPTransport
from kombu.entity import Queue
from kombu.transport import TRANSPORT_ALIASES, pyamqp

from shared import authorities, outages
from shared.settings_faults import RABBITMQ

log = logging.getLogger(__name__)

#: Seconds that a call may take, and connecting to one node.
CALL_SECONDS, CONNECT_SECONDS = 5.0, 3.0
#: Seconds in which all nodes are tried, each once.
CONNECT_ALL_SECONDS = 8.0
#: Between two signs of life on a worker's connection; without two of them it connects to another node.
HEARTBEAT_SECONDS = 15
#: The failures after which a message makes no more rounds: its task cannot be run by anybody.
DELIVERY_LIMIT = 20


class TlsSocket(SSLTransport):  # type: ignore[misc]
    """Verifies the certificate and its name, by the system's authorities and FUSIONAI_CA_FILE's."""

    def _wrap_socket(self, sock: Any, context: Any = None, **options: Any) -> Any:
        if context or options:  # of the URL's own
            return super()._wrap_socket(sock, context, **options)
        made = authorities.trust(ssl.create_default_context(), authorities.more())
        return made.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)


class RabbitConnection(pyamqp.Connection):
    """Waits for an answer no longer than CALL_SECONDS; after that it is given up, since the answer may come late."""

    _blocked = False

    def Transport(
        self, host: str, connect_timeout: float, ssl: Any = False, *timeouts: float | None, **options: Any
    ) -> Any:
        """A socket, by py-amqp's name for it. `timeouts`: of reading and of writing."""
        options |= dict(zip(("read_timeout", "write_timeout"), timeouts, strict=False))
        made = TlsSocket if ssl else TCPTransport
        return made(host, connect_timeout=connect_timeout, ssl=ssl, **options)

    def drain_events(self, timeout: float | None = None) -> None:
        """Read what has come. Without a time it is an answer that is waited for."""
        if timeout is not None:
            super().drain_events(timeout)
            return
        if self._blocked:
            self.collect()
            raise outages.Blocked("RabbitMQ takes no messages")
        try:
            super().drain_events(CALL_SECONDS)
        except TimeoutError:
            self.collect()
            raise

    def _on_blocked(self) -> None:
        self._blocked = True
        super()._on_blocked()

    def _on_unblocked(self) -> None:
        self._blocked = False
        super()._on_unblocked()


class RabbitTransport(pyamqp.Transport):
    """kombu's, with such connections."""

    Connection = RabbitConnection


class TlsTransport(pyamqp.SSLTransport):
    """The same over TLS."""

    Connection = RabbitConnection


#: Queues that this process consumes nothing from: deleted, or not replicated and on a node that is away.
unavailable: set[str] = set()

_Queue: Any = Queue


class QuorumQueue(_Queue):  # type: ignore[misc]
    """A queue with a copy on each of three nodes, if there are three. One that is there otherwise is used as it is.

    RabbitMQ refuses to declare a queue with other properties than it has, or whose node is away, which would keep a
    worker from all of them.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        given.setdefault("queue_arguments", {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT})
        super().__init__(*args, **given)

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declare it, on a channel of its own: a refusal closes that. One that cannot be had is not consumed."""
        spare = (channel or self.channel).connection.channel()
        try:
            declared = self._declare(nowait, passive, spare)
        except NotFound as error:
            if passive or channel is not None:  # who publishes is told
                raise
            if self.name not in unavailable:
                unavailable.add(self.name)
                log.warning("RabbitMQ's queue %s cannot be used, its jobs are polled (%s)", self.name, error.reply_text)
            return None
        finally:
            spare.close()
        unavailable.discard(self.name)
        return declared

    def queue_bind(self, nowait: bool = False, channel: Any = None) -> Any:
        """Bind it, if it can be had; Celery wants it bound to its own exchange."""
        return None if self.name in unavailable else super().queue_bind(nowait, channel)

    def consume(self, consumer_tag: str = "", callback: Any = None, **options: Any) -> Any:
        """Consume it, if it can be had.

        When RabbitMQ ends the consumer, that is noted: as an exception it would be lost in Celery's first reading
        (`celery.worker.loops._quick_drain`). The answer is waited for, since a refusal closes the channel with all
        its consumers.
        """
        if self.name in unavailable:
            return None
        options |= {"nowait": False, "on_cancel": self._on_cancel}
        return super().consume(consumer_tag, callback, **options)

    def _on_cancel(self, consumer_tag: str) -> None:
        if self.name not in unavailable:
            unavailable.add(self.name)
            log.warning("RabbitMQ's queue %s was deleted, or its node is away: its jobs are polled", self.name)

    def _declare(self, nowait: bool, passive: bool, channel: Any) -> Any:
        try:
            return super().queue_declare(nowait, passive, channel)
        except PreconditionFailed as error:
            _tell(self.name, error)
            return super().queue_declare(nowait, True, channel)


def is_rabbitmq(url: str) -> bool:
    """Whether it is the URL of a RabbitMQ, or of several nodes."""
    return url.startswith(RABBITMQ)


def spread(url: str) -> str:
    """The nodes of a URL in any order: processes that begin together do not all go to the first."""
    nodes = url.split(";")
    return ";".join(random.sample(nodes, len(nodes)))


def options(url: str) -> dict[str, Any]:
    """kombu's options of a connection: each node is tried once, and a message has come when the queue has it."""
    return {"confirm_publish": True, "connect_retries_timeout": CONNECT_ALL_SECONDS, "max_retries": url.count(";")}


def use() -> None:
    """Have every address of a RabbitMQ in this process served by it, under its usual name."""
    TRANSPORT_ALIASES["amqp"] = TRANSPORT_ALIASES["pyamqp"] = f"{__name__}:RabbitTransport"
    TRANSPORT_ALIASES["amqps"] = f"{__name__}:TlsTransport"


_told: set[str] = set()


def _tell(queue: str, error: PreconditionFailed) -> None:
    if queue not in _told:
        _told.add(queue)
        log.warning(
            "RabbitMQ's queue %s has other properties than FusionAI gives it, and is used as it is (%s); to have it "
            "made anew, delete it at any time: rabbitmqctl delete_queue %s",
            queue,
            error.reply_text,
            queue,
        )

"""The Celery app: its queues, and the options of its broker; the same for producers, workers, sweeper and Flower.

Options follow from measurements: see deploy/adr/0002-celery-as-doorbell.md.
"""

from typing import Any

from celery import Celery, signals
from kombu.entity import Exchange, Queue

from shared import redis_clients
from shared.broker import flower_login, rabbitmq, transport
from shared.broker.transport import CONNECT_SECONDS
from shared.queues import MAINTENANCE, TASKS
from shared.settings import settings
from shared.submissions.catalogue import job_queues

#: How kombu speaks to Redis; times in seconds.
REDIS = {
    "socket_timeout": 4,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "priority_steps": [0],
    # Seconds of one BRPOP: how long a queue that is consumed again may have to wait for the others' call to end.
    "polling_interval": 0.1,
    "sep": ":",
}


#: Routes by the queue's own name: on Redis nothing but the list itself has to exist, so a wiped broker
#: loses messages, which are only doorbells, and no binding that a later publish would need.
_DEFAULT_EXCHANGE = Exchange("", type="direct")


def make_app() -> Celery:
    """A Celery app with every queue declared."""
    url = settings().broker_url
    quorum = rabbitmq.is_rabbitmq(url)
    made = Celery("fusionai", broker=rabbitmq.spread(url) if quorum else url, set_as_current=False)
    transport.use()
    rabbitmq.use()
    queue: Any = rabbitmq.QuorumQueue if quorum else Queue
    made.conf.update(
        task_queues=[queue(name, _DEFAULT_EXCHANGE, routing_key=name) for name in [*job_queues(), *TASKS]],
        task_default_queue=MAINTENANCE,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=True,
        # RabbitMQ refuses queues that are neither durable nor of one connection alone (from 4.3 on); of those that
        # answer questions and tell events the second is true.
        control_queue_exclusive=True,
        control_queue_durable=False,
        event_queue_exclusive=True,
        event_queue_durable=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        accept_content=["json"],
        task_serializer="json",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # or a Redis that is full ends the worker as soon as it connects
        broker_transport_options=rabbitmq.options(url) if quorum else dict(REDIS),
        broker_connection_timeout=rabbitmq.CONNECT_SECONDS if quorum else 4.0,
        broker_heartbeat=rabbitmq.HEARTBEAT_SECONDS,
        broker_use_ssl=redis_clients.tls(url),  # without, kombu takes any certificate of a Redis
        redis_socket_timeout=4.0,
        redis_socket_connect_timeout=CONNECT_SECONDS,
        redis_socket_keepalive=True,
        enable_utc=True,
    )
    return made


app = make_app()
signals.import_modules.connect(flower_login.watch)

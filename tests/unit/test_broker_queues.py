"""What a RabbitMQ is asked for: nothing that it refuses from 4.3 on."""

import pytest
from celery.events import EventReceiver

from shared.broker.app import make_app
from shared.settings import settings


@pytest.fixture
def rabbitmq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "broker_url", "amqp://nobody@127.0.0.1:1//")


@pytest.mark.usefixtures("rabbitmq")
def test_every_queue_is_durable_or_of_one_connection_alone() -> None:
    """Others are `transient_nonexcl_queues`, denied by default from RabbitMQ 4.3 on (its release notes)."""
    app = make_app()
    events = EventReceiver(None, app=app).queue
    asked = [*app.amqp.queues.values(), app.control.mailbox.get_queue("w"), app.control.mailbox.reply_queue, events]
    assert len(asked) > 10
    for queue in asked:
        assert queue.durable is not queue.exclusive, queue.name
        # Classic queues of version 1 are gone, and so are these arguments.
        assert not {"x-queue-mode", "x-queue-version", "x-queue-master-locator"} & set(queue.queue_arguments or {})


@pytest.mark.usefixtures("rabbitmq")
def test_no_prefetch_count_is_of_a_whole_channel() -> None:
    """`global_qos` is denied, too; Celery asks for none where it sees quorum queues."""
    from celery.utils.quorum_queues import detect_quorum_queues

    app = make_app()
    assert app.conf.worker_detect_quorum_queues and detect_quorum_queues(app, "amqp")[0]

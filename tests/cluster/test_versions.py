"""Two versions on one RabbitMQ: each declares its queues, and those by which it is asked things, as the other does."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.environment import inherited
from tests.chaos.older import RELEASED, ROOT, source_of
from tests.cluster.cluster import Cluster

#: What a worker declares when it starts, and what a web process says; run by one version after the other.
BOTH = """
from uuid import uuid4
from shared.broker.app import app
from shared.broker.bell import bell

with app.connection_for_write() as connection:
    channel = connection.default_channel
    for queue in app.amqp.queues.values():
        queue(channel).declare()
    app.control.mailbox.Node(uuid4().hex, channel=channel).listen(channel=channel, callback=print)
    app.control.mailbox.get_reply_queue()(channel).declare()
assert bell().ring("openai.realtime", ["job_none"]).result(30)
print(bell().depth("openai.realtime").result(30))
bell().close()
"""


@pytest.mark.history
def test_either_declares_what_the_other_has_declared(servers: Cluster, tmp_path: Path) -> None:
    older, newer = source_of(RELEASED, tmp_path / "older"), ROOT
    for vhost, turns in (("older-first", (older, newer, older)), ("newer-first", (newer, older, newer))):
        servers.rabbit.ctl("add_vhost", vhost)
        servers.rabbit.ctl("set_permissions", "--vhost", vhost, "fusionai", ".*", ".*", ".*")
        broker = servers.rabbit.url(0, tls=False).removesuffix("/") + vhost
        assert [declared(place, broker, tmp_path) for place in turns] == ["1", "2", "3"]
        servers.rabbit.ctl("delete_vhost", vhost)


def declared(place: Path, broker: str, directory: Path) -> str:
    """How many messages are in the queue once that version has rung it."""
    env = inherited() | {"PYTHONPATH": str(place), "FUSIONAI_BROKER_URL": broker, "FUSIONAI_KEY_SECRET": "x" * 40}
    done = subprocess.run(
        [sys.executable, "-c", BOTH], env=env, cwd=directory, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

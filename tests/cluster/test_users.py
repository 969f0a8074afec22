"""The password of RabbitMQ changed while the system runs, by a second user, as deploy/cluster.md says."""

import shlex
from pathlib import Path

import pytest

from tests.chaos.test_secrets_changed import PAGE, Callers
from tests.cluster.cluster import Cluster
from tests.cluster.rabbitmq import USER
from tests.harness import Stack

pytestmark = pytest.mark.timeout(900)

#: A virtual host of its own: the workers of another system take nothing of this one's.
HOST = "users"
PASSWORDS = {"fusionai_a": "canary-of-the-first-user", "fusionai_b": "canary-of-the-second-user"}
NAMES = ("web", "web2", "worker", "sweeper")


def of_the_page(user: str) -> tuple[list[list[str]], list[list[str]]]:
    """What the page says of RabbitMQ, for this user: to make it, and to end the other one."""
    part = PAGE.read_text().partition("### A second user of RabbitMQ")[2].partition("\n#")[0]
    lines = [line.strip() for line in part.splitlines() if line.startswith("    rabbitmqctl ")]
    words = [shlex.split(line.replace("fusionai_b", user), comments=True)[1:] for line in lines]
    more = {"add_user": ([], [PASSWORDS[user]]), "set_permissions": (["-p", HOST], []), "delete_user": ([], [])}
    words = [[name, *more[name][0], *rest, *more[name][1]] for name, *rest in words]
    return words[:2], words[2:]


def broker_url(servers: Cluster, user: str) -> str:
    ours = servers.rabbit.url().replace(f"{USER}:{servers.rabbit.password}@", f"{user}:{PASSWORDS[user]}@")
    return ";".join(url.removesuffix("//") + f"/{HOST}" for url in ours.split(";"))


def users(servers: Cluster) -> set[str]:
    """Who is connected to our virtual host."""
    listed = servers.rabbit.ctl("list_connections", "user", "vhost")
    return {row.split()[0] for row in listed.splitlines() if row.split()[-1:] == [HOST]}


def test_the_second_user_takes_the_place_of_the_first(servers: Cluster, tmp_path: Path) -> None:
    rabbit = servers.rabbit
    rabbit.ctl("add_vhost", HOST)
    for words in of_the_page("fusionai_a")[0]:
        rabbit.ctl(*words)
    environment = {**servers.environment(), "FUSIONAI_BROKER_URL": broker_url(servers, "fusionai_a")}
    url = str(servers.postgres.migrated())
    with Stack(tmp_path, url, servers.redis, names=NAMES, environment=environment) as stack:  # type: ignore[arg-type]
        account = stack.open_account()
        with Callers(stack, operators=False) as callers:
            callers.add(account.live_key)
            callers.go_on()
            stack.until(lambda: users(servers) == {"fusionai_a"}, what="connections")
            make, end = of_the_page("fusionai_b")
            for words in make:
                rabbit.ctl(*words)
            for name in NAMES:
                stack.processes[name].env["FUSIONAI_BROKER_URL"] = broker_url(servers, "fusionai_b")
                stack.restart(name)
                callers.go_on()
            for words in end:
                rabbit.ctl(*words)
            callers.go_on()
            stack.until(lambda: users(servers) == {"fusionai_b"}, what="connections of the second user alone")
        assert callers.refused == []
        stack.quiet()
        assert {row.status for row in stack.rows("SELECT status FROM jobs")} == {"succeeded"}
        logs = [path.read_text(errors="replace") for path in tmp_path.glob("*.log")]
        assert not any(password in log for password in PASSWORDS.values() for log in logs)

"""A cluster of RabbitMQ's nodes for tests: Debian's server with directories, ports, a cookie and an epmd of its own.

Each node is told where to listen, and where to run (`within`: a command that comes before its own, such as
`ip netns exec NAME`); they may all be on loopback. Any user may start them.
"""

import json
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp

from tests.cluster.certificates import Authority
from tests.cluster.processes import ServerProcess
from tests.conditions import await_condition
from tests.servers import free_port

_BIN = Path("/usr/lib/rabbitmq/bin")
USER = "fusionai"
#: How long a node may take to start, in seconds, on a machine with other things to do.
START_SECONDS = 180.0


@dataclass(frozen=True)
class Place:
    """Where a node listens, and the command that leads there."""

    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()


LOOPBACK = Place()


@dataclass
class Node:
    """One node. `name` is how the others know it."""

    number: int
    place: Place
    directory: Path
    #: The ports of AMQP, of AMQP over TLS, and of the nodes among each other.
    port: int = field(default_factory=lambda: free_port())
    tls_port: int = field(default_factory=lambda: free_port())
    own_port: int = field(default_factory=lambda: free_port())

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.process = ServerProcess(self.directory / "log", within=self.place.within)

    @property
    def name(self) -> str:
        return f"rabbit{self.number}@{self.place.address}"


class RabbitCluster:
    """`start` it, `kill` or `stop` a node by its number, from 0, `start_node` it again; `close` at the end."""

    def __init__(
        self, directory: Path, places: Sequence[Place] = (LOOPBACK,) * 3, *, authority: Authority | None = None
    ) -> None:
        """`authority`: whose certificates the nodes have; without one they speak no TLS."""
        self.password = secrets.token_urlsafe(16)
        self.nodes = [Node(n, place, directory / f"rabbit{n}") for n, place in enumerate(places)]
        self._directory = directory
        self._authority = authority
        self._cookie = secrets.token_hex(16)
        self._epmd_port = free_port()
        self._epmds = {
            place: ServerProcess(directory / f"epmd-{place.address}.log", within=place.within) for place in set(places)
        }

    # -- starting and stopping ------------------------------------------------------------------------------------

    def start(self) -> "RabbitCluster":
        """Start every node, and wait until all are in the cluster."""
        for place, epmd in self._epmds.items():
            epmd.start(["epmd", "-port", str(self._epmd_port), "-address", place.address])
        for node in self.nodes:
            self._configure(node)
            self._start(node)
        for number in range(len(self.nodes)):
            self.await_node(number)
        self.ctl("await_online_nodes", str(len(self.nodes)), "--timeout", str(int(START_SECONDS)))
        return self

    def start_node(self, number: int, *, wait: bool = True) -> None:
        """Start a node that was killed or stopped."""
        self._start(self.nodes[number])
        if wait:
            self.await_node(number)

    def await_node(self, number: int) -> None:
        """Wait until a node takes connections."""
        node = self.nodes[number]

        def answers() -> bool:
            assert node.process.is_alive(), f"{node.name} has ended; its log is {node.process.log}"
            return self.is_up(number)

        await_condition(answers, seconds=START_SECONDS, what=f"{node.name}", pause_seconds=0.2)

    def is_up(self, number: int) -> bool:
        """Whether a node takes a connection."""
        try:
            with self.connect(number):
                return True
        except (OSError, amqp.AMQPError):
            return False

    def kill(self, number: int) -> None:
        """SIGKILL to a node."""
        self.nodes[number].process.kill()

    def stop(self, number: int) -> None:
        """Have a node end well."""
        self.nodes[number].process.terminate(seconds=START_SECONDS)

    def close(self) -> None:
        """End everything."""
        for process in (*(node.process for node in self.nodes), *self._epmds.values()):
            process.kill()

    # -- using it -------------------------------------------------------------------------------------------------

    def url(self, *numbers: int, tls: bool = True, password: str | None = None) -> str:
        """What FUSIONAI_BROKER_URL is for these nodes; for all, if none is named."""
        nodes = [self.nodes[number] for number in numbers] or self.nodes
        scheme = "amqps" if tls else "amqp"
        user = f"{USER}:{self.password if password is None else password}"
        return ";".join(f"{scheme}://{user}@{n.place.address}:{n.tls_port if tls else n.port}//" for n in nodes)

    def connect(self, number: int = 0) -> amqp.Connection:
        """A connection to a node, without TLS, to be used as a context."""
        node = self.nodes[number]
        made = amqp.Connection(
            f"{node.place.address}:{node.port}", userid=USER, password=self.password, connect_timeout=5,
            read_timeout=10, login_method="PLAIN",
        )  # fmt: skip
        made.connect()
        return made

    def ctl(self, *words: str, at: int | None = None, program: str = "rabbitmqctl") -> str:
        """What rabbitmqctl prints, asked of a node; of the first one that runs, if none is named."""
        alive = [number for number, node in enumerate(self.nodes) if node.process.is_alive()]
        node = self.nodes[alive[0] if at is None else at]
        command = [str(_BIN / program), "--quiet", "--longnames", "--node", node.name, *words]
        return node.process.run(command, self._environment(node), seconds=START_SECONDS)

    def queues(self, *columns: str, at: int | None = None) -> dict[str, Any]:
        """Each queue's row, by its name."""
        rows = json.loads(self.ctl("--formatter", "json", "list_queues", "name", *columns, at=at))
        return {row["name"]: row for row in rows}

    def is_whole(self, at: int) -> bool:
        """Whether a node reaches all others, and each has all in its cluster: it may hold one for gone that is not."""
        asked = "[rpc:call(Node, mnesia, system_info, [running_db_nodes]) || Node <- [node() | nodes()]]."
        said = self.ctl("eval", asked, at=at)
        return all(said.count(node.name) == len(self.nodes) for node in self.nodes)

    def report(self) -> str:
        """What each node says of the cluster, of queues and their consumers, for the message of a test that fails."""
        asked = (
            ("eval", "mnesia:system_info(running_db_nodes)."),
            ("list_queues", "--timeout", "20", "name", "leader", "online", "consumers"),
            ("list_consumers", "--timeout", "20", "queue_name", "channel_pid", "active", "activity_status"),
        )
        return "\n".join(self._said(node, *words) for node in self.nodes for words in asked)

    def _said(self, node: Node, *words: str) -> str:
        try:
            said = self.ctl(*words, at=node.number)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            said = str(error)
        return f"{node.name}, {words[0]}:\n{said}"

    # -- its files ------------------------------------------------------------------------------------------------

    def _start(self, node: Node) -> None:
        node.process.start([str(_BIN / "rabbitmq-server")], self._environment(node))

    def _configure(self, node: Node) -> None:
        (node.directory / ".erlang.cookie").write_text(self._cookie)
        (node.directory / ".erlang.cookie").chmod(0o400)
        (node.directory / "enabled_plugins").write_text("[].\n")
        address = f"[{node.place.address}]" if ":" in node.place.address else node.place.address
        lines = {
            "listeners.tcp.1": f"{address}:{node.port}",
            "default_user": USER,
            "default_pass": self.password,
            "cluster_partition_handling": "pause_minority",
            "net_ticktime": "20",
            "cluster_formation.peer_discovery_backend": "classic_config",
            **{f"cluster_formation.classic_config.nodes.{n.number + 1}": n.name for n in self.nodes},
            "vm_memory_high_watermark.absolute": "1GB",
            "disk_free_limit.absolute": "1MB",
            "log.file": "false",
            "log.console": "true",
            "log.console.level": "warning",
        }
        if self._authority is not None:
            certificate, key = self._authority.issue(f"rabbit{node.number}", node.place.address, "localhost")
            lines |= {
                "listeners.ssl.1": f"{address}:{node.tls_port}",
                "ssl_options.cacertfile": str(self._authority.ca),
                "ssl_options.certfile": str(certificate),
                "ssl_options.keyfile": str(key),
                "ssl_options.verify": "verify_none",
                "ssl_options.fail_if_no_peer_cert": "false",
            }
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        (node.directory / "rabbitmq.conf").write_text(text)

    def _environment(self, node: Node) -> Mapping[str, str]:
        home = str(node.directory)
        octets = ",".join(node.place.address.split("."))
        return {
            "HOME": home,
            "RABBITMQ_NODENAME": node.name,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(node.own_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq",
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/logs",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            # Without a shell around the server: a signal reaches it.
            "detached": "here",
            # Few threads each, since there are three on one machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"+S 2:2 +SDio 2 +A 4 -kernel inet_dist_use_interface {{{octets}}}"
            ),
            "RABBITMQ_CTL_ERL_ARGS": f"+S 1:1 +A 1 -kernel inet_dist_use_interface {{{octets}}}",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": node.place.address,
            "ERL_CRASH_DUMP_SECONDS": "0",
        }

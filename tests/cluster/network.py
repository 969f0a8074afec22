"""Hosts as network namespaces, and links between them and the services that can be cut without a word.

    with Network() as network:                  # this thread, and what it starts, is where the services are
        host = network.host("b", skew_micros=-3_000_000)
        process = host.start("workers.app", environment, log)
        host.cut(DATABASE)                      # packets are lost: no reset, no refusal, as in a real partition
        host.cut(DATABASE, arrives=True)        # those to it arrive, its answers are lost
        host.heal()

The services have an address each, all of one namespace, in which the test itself runs; each host has a namespace and a
link of its own. Needs Linux, root (CAP_NET_ADMIN), ip, iptables and nsenter. The namespaces have no names: the kernel
removes them, and all that is in them, when their last process has ended, however the test ends.
"""

import ctypes
import os
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self, TypeVar

from tests import starting

T = TypeVar("T")

#: The addresses of the services, so that each can be cut off by itself. `OUTSIDE` are receivers of webhooks and the
#: providers as host a sees them, `PROVIDERS` those that host b asks.
SERVICES = "10.88.0.1"
DATABASE, BROKER, REDIS, PROVIDERS, OUTSIDE = ADDRESSES = [f"10.88.0.{number}" for number in range(11, 16)]
_HOSTS = {"a": "10.88.1.1", "b": "10.88.1.2"}
_CLONE_NEWNET = 0x40000000
_PLACE = "/proc/thread-self/ns/net"
#: Where Python finds what sets the clock of a host wrong, and what stops a process of it at a line.
_ON_HOSTS = Path(__file__).parents[1] / "chaos" / "hosts"
_LIBC = ctypes.CDLL(None, use_errno=True)


class Network:
    """The services' namespace, in which the thread that enters it stays meanwhile, and its hosts."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        self._outside = os.open(_PLACE, os.O_RDONLY)
        _system("unshare", _CLONE_NEWNET)
        starting.renew()
        try:
            _run("ip", "link", "set", "lo", "up")
            for address in (SERVICES, *ADDRESSES):
                _run("ip", "address", "add", f"{address}/32", "dev", "lo")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts.values():
            host.stop()
        _system("setns", self._outside, _CLONE_NEWNET)
        os.close(self._outside)
        starting.renew()

    def host(self, name: str, *, skew_micros: int = 0) -> "Host":
        """A host of that name, `a` or `b`, whose clock is wrong by so much."""
        self.hosts[name] = made = Host(name, skew_micros)
        return made


class Host:
    """A namespace with one link, to the services."""

    def __init__(self, name: str, skew_micros: int) -> None:
        self.name, self.address = name, _HOSTS[name]
        # Whoever keeps the namespace: it ends when its input does, which is when we do.
        self._keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; cat"], stdin=-1, stdout=-1)
        assert self._keeper.stdout is not None
        self._keeper.stdout.readline()
        self._into = ("nsenter", f"--net=/proc/{self._keeper.pid}/ns/net")
        self._link()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"host-{name}", initializer=self._enter)
        environment = {"PYTHONPATH": str(_ON_HOSTS), "HOST_SKEW_MICROS": str(skew_micros)}
        self._forker = starting.Forker(self._into, {**os.environ, **environment})
        #: Rules of packets that are lost, with where they apply.
        self._rules: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def stop(self) -> None:
        """Let it go; its processes are to have ended."""
        self._forker.stop()
        self._threads.shutdown()
        self._keeper.communicate()

    def start(self, module: str, env: Mapping[str, str], output: IO[bytes], cwd: Path) -> starting.Child:
        """Start `python -m module` on the host."""
        return self._forker.start(module, env, (), cwd, output.fileno(), output.fileno())

    def run(self, fn: Callable[[], T]) -> T:
        """What a function gives that is run on the host, such as one that connects."""
        return self._threads.submit(fn).result()

    def command(self, *words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program on the host to its end."""
        return subprocess.run([*self._into, *words], env=dict(env), capture_output=True, text=True, check=False)

    def cut(self, *services: str, arrives: bool = False, returns: bool = False) -> None:
        """Lose every packet between the host and these services (none named: all).

        `arrives`: what it sends to them arrives. `returns`: what they send to it does.
        """
        for service in services or ("0.0.0.0/0",):
            if not arrives:
                self._lose((), ("-i", f"to-{self.name}", "-d", service))
            if not returns:
                self._lose(self._into, ("-i", "eth0", "-s", service))

    def heal(self) -> None:
        """Lose nothing any more."""
        while self._rules:
            where, rule = self._rules.pop()
            _run(*where, "iptables", "-w", "-D", "INPUT", *rule, "-j", "DROP")

    def _lose(self, where: tuple[str, ...], rule: tuple[str, ...]) -> None:
        _run(*where, "iptables", "-w", "-A", "INPUT", *rule, "-j", "DROP")
        self._rules.append((where, rule))

    def _link(self) -> None:
        ours, inside = f"to-{self.name}", (*self._into, "ip")
        _run("ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", str(self._keeper.pid))
        _run("ip", "link", "set", ours, "up")
        _run("ip", "route", "add", f"{self.address}/32", "dev", ours, "src", SERVICES)
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "address", "add", f"{self.address}/32", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "route", "add", "10.88.0.0/24", "dev", "eth0")

    def _enter(self) -> None:
        place = os.open(f"/proc/{self._keeper.pid}/ns/net", os.O_RDONLY)
        _system("setns", place, _CLONE_NEWNET)
        os.close(place)


def _run(*words: str) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}"


def _system(call: str, *arguments: int) -> None:
    if getattr(_LIBC, call)(*arguments):
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")

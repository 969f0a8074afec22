"""A stack whose processes run on two hosts, of which one can be cut off.

    with HostsStack(directory, network, database_url, redis, environment) as stack:
        stack.b.cut()
        …
        stack.heal()

Host `a` runs web, worker, worker2, batches, sweeper; host `b` the same, named with 8 and 9 at the end. Whoever submits
asks the web processes that a balancer would: those of the hosts that are not cut off.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from shared import clock
from tests.chaos.processes import MODULES, Process, prefixed
from tests.cluster.network import OUTSIDE, PROVIDERS, Host, Network
from tests.cluster.redis import SecureRedis
from tests.harness import Stack
from workers.simulator.server import SimulatorProcess

ON_A = ("web", "worker", "worker2", "batches", "sweeper")
ON_B = ("web8", "worker8", "worker9", "batches8", "sweeper8")
#: By how much the clocks of the hosts are wrong, in microseconds.
SKEWS = {"a": 2 * clock.MICROS, "b": -3 * clock.MICROS}
#: Short enough for a test, and long enough that a host under load renews.
LEASE_SECONDS, BEAT_SECONDS = 6.0, 1.0
#: What a probe of a balancer waits for.
PROBE_SECONDS = 5.0


class HostsStack(Stack):
    """The processes of both hosts, and a client of theirs."""

    def __init__(
        self,
        directory: Path,
        network: Network,
        database_url: str,
        redis: SecureRedis,
        environment: Mapping[str, str],
        **given: str,
    ) -> None:
        lease = {"LEASE_SECONDS": str(LEASE_SECONDS), "BEAT_SECONDS": str(BEAT_SECONDS)}
        super().__init__(
            directory,
            database_url,
            redis,  # type: ignore[arg-type]
            environment=environment,
            names=(*ON_A, *ON_B),
            address=OUTSIDE,
            **lease | {"WEBHOOKS_ALLOW_PRIVATE": "true"} | given,
        )
        self.hosts = {name: network.host(name, skew_micros=skew) for name, skew in SKEWS.items()}
        self.a, self.b = self.hosts["a"], self.hosts["b"]
        self.providers = {"a": self.simulator, "b": SimulatorProcess(host=PROVIDERS)}
        #: Where a process is to halt, once, and the file that says that it has.
        self._halts: dict[str, str] = {}
        #: The web process of host b, while no balancer sends anything there.
        self._aside: dict[str, str] = {}

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.providers["b"].stop()

    def host(self, name: str) -> Host:
        """Where a process runs."""
        return self.b if name in ON_B else self.a

    def cut(self, *services: str, arrives: bool = False, returns: bool = False) -> None:
        """Cut host b off; whoever submits turns to host a."""
        self._aside = {name: self._urls.pop(name) for name in ON_B if name in self._urls}
        self.b.cut(*services, arrives=arrives, returns=returns)

    def heal(self) -> None:
        """Connect host b again; its web process is asked when it is ready."""
        self.b.heal()

    def probe(self, path: str = "/readyz", key: str = "", **more: Any) -> tuple[int, float]:
        """What host b's web process answers on the host itself, and after how many seconds; 0: nothing in time."""
        url, began = (self._aside or self._urls)["web8"], clock.monotonic()
        headers = {"Authorization": f"Bearer {key}"} if key else {}

        def ask() -> int:
            try:
                method = "POST" if more else "GET"
                return httpx.request(
                    method, url + path, headers=headers, timeout=60, trust_env=False, **more
                ).status_code
            except httpx.TransportError:
                return 0

        return self.b.run(ask), clock.monotonic() - began

    def balance(self, *, seconds: float) -> float:
        """Until host b's web process is ready, and is asked again; the seconds that took."""
        began = clock.monotonic()
        self.until(lambda: self.probe()[0] == 200, seconds=seconds, what="host b's web process to be ready")
        self._urls |= self._aside
        self._aside = {}
        return clock.monotonic() - began

    def halt_at(self, name: str, point: str) -> Path:
        """Start a process anew that halts at a crash point; the file that is there while it does."""
        halted = self.log(name, "halted")
        self._halts[name] = f"{point}:{halted}"
        self.restart(name)
        return halted

    def script(self, *rules: Mapping[str, Any], limits: Sequence[Mapping[str, Any]] = ()) -> None:
        """As ever, on the providers of both hosts."""
        for simulator in self.providers.values():
            order = {"rules": rules, "limits": limits, "record": True}
            with httpx.Client(trust_env=False) as client:
                client.post(f"{simulator.url}/_simulator/script", json=order).raise_for_status()

    def calls(self, containing: str = "", hosts: str = "ab") -> int:
        """How many calls the providers had from these hosts that had this text in them."""
        return sum(self._calls(name, containing) for name in hosts)

    def _calls(self, name: str, containing: str) -> int:
        with httpx.Client(trust_env=False) as client:
            params = {"contains": containing} if containing else {}
            found = client.get(f"{self.providers[name].url}/_simulator/calls", params=params).json()
        return int(found["count"] if containing else found["total"])

    def most_called(self) -> int:
        """How often the providers had the same request, at most."""
        total: Counter[str] = Counter()
        with httpx.Client(trust_env=False) as client:
            for simulator in self.providers.values():
                told = client.get(f"{simulator.url}/_simulator/calls", params={"fingerprints": "1"}).json()
                total.update({key: row["total"] for key, row in told["fingerprints"].items()})
        return max(total.values(), default=0)

    def held(self, *names: str) -> int:
        """How many jobs these workers run, by the rows."""
        return self.held_by(self.incarnations(*names))

    def held_by(self, ids: Sequence[str]) -> int:
        """The same of workers by their ids, which may have ended."""
        held = "SELECT count(*) FROM jobs WHERE status = 'running' AND worker_id = ANY(:ids)"
        return int(self.rows(held, ids=list(ids))[0][0])

    def incarnations(self, *names: str) -> list[str]:
        """The ids of these workers, as they are now."""
        running = [self.processes[name].popen for name in names]
        pids = [popen.pid for popen in running if popen is not None]
        return [row.id for row in self.rows("SELECT id FROM workers WHERE pid = ANY(:pids)", pids=pids)]

    def ends(self, *names: str) -> list[int]:
        """With which statuses these have ended so far."""
        return [status for name in names for status in self.processes[name].ends]

    def verify(self) -> None:
        """`fusionai verify --at-rest` finds nothing, on host a."""
        words = (sys.executable, "-m", "producer.cli", "verify", "--at-rest")
        done = self.a.command(*words, env=self._environment("verify"))
        assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self, name: str) -> dict[str, str]:
        env = super()._environment(name)
        host = self.host(name)
        env["FUSIONAI_SIMULATOR_URL"] = self.providers[host.name].url
        if name.startswith("web"):
            env["FUSIONAI_HOST"] = host.address
            self._urls[name] = f"http://{host.address}:{env['FUSIONAI_PORT']}"
        return env

    def _spawn(self, process: Process, once: Mapping[str, str]) -> None:
        module = MODULES[process.name.rstrip("0123456789")]
        env = process.env | prefixed(once) | {"HOST_HALTS_AT": self._halts.pop(process.name, "")}
        with self.log(process.name).open("ab") as output:
            process.popen = self.host(process.name).start(module, env, output, self.directory)

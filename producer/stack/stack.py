"""`fusionai up`: the whole stack on one machine, from an empty directory to a base URL and a key."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from producer.stack import banner, embedded_redis, probes, procfile, provider_keys
from producer.stack.layout import CannotStartError, environment, layout
from producer.stack.output import ProcessOutput
from producer.stack.procfile import ProcfileError
from producer.stack.provider_keys import CHECK_SECONDS, KeyChecks
from producer.stack.state import AlreadyUpError, StateDirectory
from producer.stack.supervisor import Program, StopRequested, Supervisor
from producer.terminal import printable
from shared import network, telemetry
from shared.settings import Settings, read_settings
from shared.submissions import catalogue

_START_SECONDS = 20.0
#: After so many seconds a line says that it takes long; it goes on trying.
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Options:
    """What the command line asked for. None: as the environment says, or the default."""

    port: int | None = None
    state: Path | None = None
    workers: int = 1
    quiet: bool = False
    procfile: Path | None = None
    as_json: bool = False
    #: Arguments of the simulator's own: how the simulated providers behave.
    simulation: tuple[str, ...] = ()


def up(options: Options) -> int:
    """Run the stack until a signal; the exit status."""
    given = {} if options.state is None else {"state_directory": options.state}
    own = read_settings(**given)
    own = Settings(**given | {"state_directory": own.state_directory.resolve()})  # type: ignore[arg-type]
    network.check()
    os.umask(int(own.umask, 8))
    state = StateDirectory(own.state_directory)
    try:
        try:
            state.create()
        except OSError as error:
            raise CannotStartError(f"the state directory cannot be made: {error}") from error
        with state.locked():
            Stack(options, own, state).run()
    except (AlreadyUpError, CannotStartError, ProcfileError) as error:
        print(printable(f"fusionai up: {error}"), file=sys.stderr)
        return 1
    return 0


class Stack:
    """One run of the stack: what it starts, in which order, and what it prints."""

    def __init__(self, options: Options, own: Settings, state: StateDirectory) -> None:
        self._options = options
        self._own = own
        self._state = state
        self._secrets = state.secrets()
        if not own.operator_password:
            self._secrets["operator_password"] = state.operator_password()
        self._layout = layout(own, options.port, self._secrets)
        if options.simulation and not self._layout.simulator_port:
            raise CannotStartError(
                "--simulate: no provider is simulated here: each has a key, or FUSIONAI_SIMULATOR_URL is set"
            )
        self._env = environment(own, self._layout, self._secrets)
        self._programs = programs(options, self._env)
        self._output = ProcessOutput(state.path / "logs", quiet=options.quiet)
        self._supervisor = Supervisor(self._output, stop_seconds=_stop_seconds(self._env), changed=self._record)
        self._catalogue = catalogue.load(own.catalogue)
        self._ready = False

    def run(self) -> None:
        """Start everything, print when it is ready, keep it running; after a signal nothing is left."""
        self._state.remove("stack.json")
        try:
            with self._supervisor:
                self._announce_ports()
                self._start_foundations()
                for program in self._programs:
                    self._supervisor.start(program)
                self._await_ready()
                self._supervisor.run()
        except StopRequested:
            self._output.announce("stopped")
        finally:
            self._state.remove("stack.json")
            self._output.close()

    def _start_foundations(self) -> None:
        at = self._layout
        if at.redis is not None:
            port, password = at.redis.port, at.redis.password
            self._supervisor.start(embedded_redis.program(at.redis, self._state, self._env))
            if not self._supervisor.wait_until(lambda: probes.redis_answers(port, password), _START_SECONDS):
                raise CannotStartError(f"Redis does not answer; see {self._state.path}/logs/redis.log")
        if at.simulator_port:
            argv = [sys.executable, "-m", "workers.simulator", "--port", str(at.simulator_port)]
            self._supervisor.start(Program("simulator", [*argv, *self._options.simulation], self._env, last=True))
        prepare = Program("database", [sys.executable, "-m", "producer.stack.first_account"], self._env, once=True)
        if status := self._supervisor.run_once(prepare):
            raise CannotStartError(f"the database could not be prepared (exit status {status}); see the log above")
        if at.simulator_port and not self._supervisor.wait_until(
            lambda: probes.accepts(at.simulator_port), _START_SECONDS
        ):
            raise CannotStartError("the simulator does not answer; see its log")
        if account := self._state.first_account():
            self._state.write("first-account.json", account | {"base_url": f"{at.base_url}/v1"})

    def _await_ready(self) -> None:
        # Its threads begin when every process has been started: a fork beside threads is a thing to avoid.
        checks = KeyChecks(provider_keys.with_key(self._catalogue))
        at = self._layout
        host = at.base_url.removeprefix("http://").rpartition(":")[0].strip("[]")
        while not self._supervisor.wait_until(lambda: probes.is_ready(host, at.port), _READY_SECONDS):
            self._output.announce(f"not ready after {_READY_SECONDS:.0f} s; still waiting, see the logs")
        self._ready = True
        self._record()
        if self._options.as_json:
            self._output.show(json.dumps(self._state.running()))
            return
        self._supervisor.wait_until(lambda: checks.over, CHECK_SECONDS)
        lines = banner.banner(at, self._state, self._env)
        providers = banner.providers(self._own, at, self._catalogue, checks)
        self._output.show(printable("\n".join([*lines, "", *providers, "", "Ctrl-C stops everything.", ""])))

    def _announce_ports(self) -> None:
        for name, usual, chosen in (
            ("API", self._own.port, self._layout.port),
            ("Flower", self._own.flower_port, self._layout.flower_port),
        ):
            if self._options.port is None and usual != chosen:
                self._output.announce(f"port {usual} is taken: {name} listens on {chosen}")

    def _record(self) -> None:
        """Write stack.json, which scripts await; again at each restart, for the process ids in it."""
        if self._ready:
            at = self._layout
            self._state.write(
                "stack.json",
                {
                    "base_url": f"{at.base_url}/v1",
                    "redis_url": at.operators(at.redis_url),
                    "broker_url": at.operators(at.broker_url),
                    "database_url": self._env["FUSIONAI_DATABASE_URL"],
                    "simulator_url": at.simulator_url,
                    "real_providers": [provider.name for provider in provider_keys.with_key(catalogue.catalogue())],
                    "local_providers": [one.name for one in provider_keys.without_need(catalogue.catalogue())],
                    "flower_url": at.flower_url,
                    "supervisor_pid": os.getpid(),
                    "pids": self._supervisor.pids(),
                },
            )


def _stop_seconds(env: Mapping[str, str]) -> float:
    """How long a process may rightly take to stop: for what is under way, and then for its last traces."""
    return float(env["FUSIONAI_DRAIN_SECONDS"]) + telemetry.stop_seconds(env)


def programs(options: Options, env: Mapping[str, str]) -> list[Program]:
    """The Procfile's processes."""
    path = options.procfile or procfile.find()
    try:
        commands = procfile.parse(path.read_text())
    except OSError as error:
        raise CannotStartError(f"no Procfile: {error}") from error
    named = procfile.copies(commands, options.workers)
    return [Program(name, procfile.expand(command, env), env) for name, command in named.items()]

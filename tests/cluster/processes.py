"""Servers as processes of a test: started where they are told to listen, killed, started again, and gone at its end."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared import processes


class ServerProcess:
    """One server's process. `within` comes before its command: `ip netns exec NAME`, or nothing."""

    def __init__(self, log: Path, *, within: Sequence[str] = ()) -> None:
        self.log = log
        self._within = tuple(within)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it; what it prints goes to its log. It dies with this process."""
        assert not self.is_alive(), f"{command[0]} is running"
        with self.log.open("ab") as output:
            self._process = processes.start([*self._within, *command], {**_usual(), **(environment or {})}, output)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to it and all that it has started, until it is gone."""
        if self._process is not None:
            processes.kill(self._process)
            self._process.wait()

    def terminate(self, *, seconds: float = 60.0) -> None:
        """SIGTERM, until it has ended."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        """A signal to it and all that it has started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def run(self, command: Sequence[str], environment: Mapping[str, str], *, seconds: float = 120.0) -> str:
        """Run a command beside it, in the same place; what it printed. It must succeed."""
        env = {**_usual(), **environment}
        done = subprocess.run(
            [*self._within, *command], env=env, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


def _usual() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}

"""Starting the simulator as a process of its own, and stopping it: for tests, the demo and `make run`."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

#: How long a told process may take to stop before it is killed.
STOP_SECONDS = 5.0
#: Where `workers` can be imported from, whatever directory the caller stands in.
ROOT = Path(__file__).resolve().parents[2]
ANNOUNCEMENT = "simulator listening on "


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start the process, its output for us to read (tests put a cheaper start in this one's place)."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


class SimulatorProcess:
    """A running simulator. `url` is its address without a path; add `/openai/v1` and so on."""

    def __init__(
        self,
        *,
        latency: float = 0.0,
        fail_first: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        more: Sequence[str] = (),
    ) -> None:
        command = [sys.executable, "-m", "workers.simulator", "--host", host, "--port", str(port)]
        command += ["--latency", str(latency), "--fail-first", str(fail_first), *more]
        self.process = start(command)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(ANNOUNCEMENT):
            self.stop()
            raise RuntimeError(f"the simulator did not start: exit {self.process.returncode}, said {line!r}")
        self.url = line.removeprefix(ANNOUNCEMENT).strip()

    def stop(self) -> int:
        """Stop it, and say how it ended (0 when all is well)."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()

    def __enter__(self) -> "SimulatorProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def simulator(*, latency: float = 0.0, fail_first: float = 0.0) -> Iterator[str]:
    """The address of a simulator that runs as long as the block."""
    with SimulatorProcess(latency=latency, fail_first=fail_first) as process:
        yield process.url

"""What the synchronous rows are measured beside: nginx as the upstream, and LiteLLM, Portkey and Bifrost before it.

None of them is a requirement; what is not found is named as not measured.

    apt-get install nginx wrk
    python3 -m venv ~/litellm && ~/litellm/bin/pip install 'litellm[proxy]'   # BENCH_LITELLM=~/litellm/bin/litellm
    npm install --prefix ~/portkey @portkey-ai/gateway                        # BENCH_PORTKEY=~/portkey/node_modules
    npx @maximhq/bifrost                                # BENCH_BIFROST=~/.cache/bifrost/<version>/bin/bifrost-http-0

Bifrost is a Go program. No registry has it: npm's package fetches the program from its makers' host when it is started.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import orjson

from shared import clock, processes
from tests.bench.stack import temporary_directory
from tests.bench.upstream import COMPLETION
from tests.servers import free_port

LITELLM, PORTKEY, BIFROST = "LiteLLM", "Portkey", "Bifrost"
ASKED: Final = {
    "model": "gpt-4",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
CHAT: Final = orjson.dumps(ASKED)
KEY = "sk-bench-0123456789abcdef"
#: LiteLLM imports for half a minute on a busy machine.
START_SECONDS = 180
STOP_SECONDS = 5

LITELLM_CONFIG = """\
model_list:
  - model_name: gpt-4
    litellm_params:
      model: openai/gpt-4
      api_base: {base}/v1
      api_key: sk-upstream
general_settings:
  master_key: {key}
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that answers chats at `url`. `pids`: its processes by role, whose children count as its own."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    body: bytes = CHAT


def installed() -> list[Callable[[str], AbstractContextManager[Contender]]]:
    """Of each peer that is there, what starts it before the upstream at an address."""
    ways = ((litellm(), litellm_proxy), (portkey(), portkey_gateway), (bifrost(), bifrost_gateway))
    return [partial(start, command) for command, start in ways if command]


def absent() -> list[str]:
    """What is not installed, and how it would be."""
    advice = {
        LITELLM: (litellm(), "pip install 'litellm[proxy]' in a venv of its own; BENCH_LITELLM=<venv>/bin/litellm"),
        PORTKEY: (portkey(), "npm install @portkey-ai/gateway; BENCH_PORTKEY=<where>/node_modules (and node)"),
        BIFROST: (
            bifrost(),
            "BENCH_BIFROST=<its program>, which `npx @maximhq/bifrost` fetches from its makers' host to "
            "~/.cache/bifrost, where that host is reached; no registry has it",
        ),
    }
    return [f"{name} is not measured: {how}" for name, (found, how) in advice.items() if found is None]


def nginx() -> str | None:
    """Where nginx is."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def litellm() -> list[str] | None:
    """The command that starts LiteLLM; AssertionError when the environment names a place where it is not."""
    given = os.environ.get("BENCH_LITELLM")
    assert not given or shutil.which(given), f"BENCH_LITELLM: there is no command {given}"
    found = shutil.which(given or "litellm")
    return [found] if found else None


def portkey() -> list[str] | None:
    """The command that starts Portkey's gateway; AssertionError when it is not where the environment says."""
    given, node = os.environ.get("BENCH_PORTKEY"), shutil.which("node")
    if not given or not node:
        return None
    script = Path(given) / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    assert script.is_file(), f"BENCH_PORTKEY: there is no {script}"
    return [node, str(script)]


def bifrost() -> list[str] | None:
    """The command that starts Bifrost; AssertionError when it is not where the environment says.

    Nothing is looked up in PATH: what npm calls `bifrost` would fetch another program first.
    """
    given = os.environ.get("BENCH_BIFROST")
    assert not given or shutil.which(given), f"BENCH_BIFROST: there is no program {given}"
    return [given] if given else None


@contextmanager
def nginx_upstream(command: str) -> Iterator[str]:
    """The base address of an nginx that answers every chat at once."""
    port = free_port()
    shape = Path(__file__).with_name("upstream.conf").read_text()
    with temporary_directory() as place:
        config = Path(place) / "upstream.conf"
        config.write_text(shape.replace("@PORT@", str(port)).replace("@ANSWER@", COMPLETION.decode()))
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with _running([command, "-p", place, "-c", str(config)], Contender("nginx", url)):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def litellm_proxy(command: Sequence[str], base: str) -> Iterator[Contender]:
    """LiteLLM without a database, one worker."""
    port = free_port()
    with temporary_directory() as place:
        config = Path(place) / "litellm.yaml"
        config.write_text(LITELLM_CONFIG.format(base=base, key=KEY))
        argv = [*command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with _running(argv, Contender(LITELLM, url, {"Authorization": f"Bearer {KEY}"})) as contender:
            yield contender


@contextmanager
def portkey_gateway(command: Sequence[str], base: str) -> Iterator[Contender]:
    """Portkey's gateway, which keeps nothing."""
    port = free_port()
    headers = {
        "Authorization": f"Bearer {KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{base}/v1",
    }
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with _running([*command, f"--port={port}", "--headless"], Contender(PORTKEY, url, headers)) as contender:
        yield contender


@contextmanager
def bifrost_gateway(command: Sequence[str], base: str) -> Iterator[Contender]:
    """Bifrost's gateway by a file alone, which keeps nothing: neither its configuration nor its logs are stored.

    As docs.getbifrost.ai/deployment-guides/config-json has it; its pull request 3991 allows loopback.
    """
    port = free_port()
    keys = [{"name": "bench", "value": KEY, "models": ["*"], "weight": 1.0}]
    config = {
        "client": {"enable_logging": False, "drop_excess_requests": False},
        "providers": {"openai": {"keys": keys, "network_config": {"base_url": base}}},
        "config_store": {"enabled": False},
        "logs_store": {"enabled": False},
    }
    body = orjson.dumps({**ASKED, "model": "openai/gpt-4"})
    with temporary_directory() as place:
        Path(place, "config.json").write_bytes(orjson.dumps(config))
        argv = [*command, "-app-dir", place, "-host", "127.0.0.1", "-port", str(port), "-log-level", "error"]
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with _running(argv, Contender(BIFROST, url, body=body)) as contender:
            yield contender


def peak_megabytes(pids: Sequence[int]) -> float:
    """The highest memory each of these and of the processes they started has had, summed."""
    kilobytes = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, ValueError):
            if os.getsid(int(status.parent.name)) in pids or int(status.parent.name) in pids:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                kilobytes += int(fields.get("VmHWM", "0 kB").split()[0])
    return kilobytes / 1024


def answers(contender: Contender) -> bool:
    """Whether a chat succeeds."""
    headers = {"Content-Type": "application/json", **contender.headers}
    with suppress(httpx.TransportError), httpx.Client(trust_env=False, timeout=5) as client:
        return client.post(contender.url, content=contender.body, headers=headers).status_code == 200
    return False


@contextmanager
def _running(argv: Sequence[str], contender: Contender) -> Iterator[Contender]:
    """Start a program, wait until it answers a chat, end it."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with temporary_directory() as place:
        log = Path(place) / "log"
        with log.open("wb") as output:
            process = processes.start(argv, environment, output.fileno())
        try:
            _await(lambda: answers(contender), process, contender.name, log)
            yield replace(contender, pids={"its processes": process.pid})
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            processes.kill(process)
            process.wait()


def _await(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", name: str, log: Path) -> None:
    deadline, pause = clock.monotonic() + START_SECONDS, threading.Event()
    while not ready():
        late = process.poll() is not None or clock.monotonic() > deadline
        assert not late, f"{name} does not answer a chat:\n{log.read_text(errors='replace')[-2000:]}"
        pause.wait(0.2)

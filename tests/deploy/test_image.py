"""The image, outside of a container: built by its own commands, its processes do a job and stop in time.

Not run anywhere here: `docker build`, and what only a container has (the base image, the mounts, the network).
"""

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from producer.stack import procfile
from shared import processes
from tests.conditions import await_condition
from tests.deploy import dockerfile
from tests.deploy.image import Image
from tests.servers import PostgresServer, RedisServer, free_port
from workers.simulator.server import SimulatorProcess

# Dozens of wheels are installed and compiled.
pytestmark = pytest.mark.timeout(900)

#: Of FUSIONAI_DRAIN_SECONDS (20) and what compose, the chart and the units allow beyond it.
GRACE_SECONDS = 35
PROCESSES = procfile.parse((dockerfile.ROOT / "Procfile").read_text())
SECRET = "a secret of this test, long enough"


class Site:
    """The image's processes, with PostgreSQL, Redis and a provider around them."""

    def __init__(self, image: Image, directory: Path, database_url: str, redis_url: str, simulator: str) -> None:
        self.image, self.directory = image, directory
        self.port, self.metrics_port, self.flower_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "FUSIONAI_DATABASE_URL": database_url,
            "FUSIONAI_BROKER_URL": redis_url.replace("/0", "/1"),
            "FUSIONAI_REDIS_URL": redis_url,
            "FUSIONAI_FILES_URL": f"file://{image.state}/files",
            "FUSIONAI_KEY_SECRET": SECRET,
            "FUSIONAI_FLOWER_PASSWORD": "a password",
            "FUSIONAI_FLOWER_PORT": str(self.flower_port),
            "FUSIONAI_PUBLIC_URL": self.url,
            "FUSIONAI_PORT": str(self.port),
            "FUSIONAI_METRICS_PORT": str(self.metrics_port),
            "OPENAI_API_KEY": "sk-of-this-test",
            "FUSIONAI_PROVIDER_OPENAI_URL": f"{simulator}/openai/v1",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def command(self, *words: str) -> str:
        """What `fusionai …` says, once it has ended well."""
        log = self.log("command-" + "-".join(words[:2]))
        assert self.image.run(["fusionai", *words], self.settings, log) == 0, log.read_text()
        return log.read_text()

    def start(self) -> None:
        """Every process of the Procfile."""
        environment = self.image.environment(self.settings)
        for name, line in PROCESSES.items():
            argv = procfile.expand(line, environment)
            self.running[name] = self.image.start(["python", *argv[1:]], self.settings, self.log(name))

    def stop(self, name: str) -> int:
        """SIGTERM; the exit status, within the time that a container has."""
        process = self.running[name]
        process.send_signal(signal.SIGTERM)
        return process.wait(GRACE_SECONDS)

    def logs(self) -> str:
        return "\n".join(f"== {name}\n{self.log(name).read_text()}" for name in self.running)

    def healthcheck(self) -> int:
        check = dockerfile.read()[-1].healthcheck()
        return self.image.run(check, self.settings, self.log("healthcheck"))


@pytest.fixture
def site(scratch: Path) -> Iterator[Site]:
    image = Image(scratch)
    image.build()
    with ExitStack() as opened:
        postgres, cache = PostgresServer(), RedisServer().start()
        opened.callback(postgres.stop)
        opened.callback(cache.stop)
        simulator = opened.enter_context(SimulatorProcess())
        url = postgres.database()
        Path(str(make_url(url).query["host"])).chmod(0o711)  # its socket is for the image's user as well
        made = Site(image, scratch, url, cache.url, simulator.url)
        opened.callback(lambda: [processes.kill(one) for one in made.running.values()])
        yield made


def test_built_by_its_own_commands_it_does_a_job_and_a_batch_and_stops_in_time(site: Site) -> None:
    code = site.image.files()
    assert not any("setuptools" in path or "/pip/" in path for path in code), "nothing that builds is left"
    site.command("migrate")
    assert site.healthcheck() != 0, "nothing serves yet"
    site.start()
    await_condition(lambda: answers(f"{site.url}/readyz"), seconds=90, what="the web process")
    assert site.healthcheck() == 0, site.log("healthcheck").read_text()

    account = json.loads(site.command("accounts", "create", "Example", "--plan", "business", "--json"))["id"]
    key = json.loads(site.command("keys", "create", "--account", account, "--mode", "live", "--json"))["key"]
    site.command("credits", "grant", "100", "--account", account)
    with httpx.Client(
        base_url=site.url, headers={"authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    ) as client:
        does_a_job(client)
        does_a_batch(client)
        assert client.get("/metrics").status_code == 404, "the metrics have a port of their own"
    metrics = httpx.get(f"http://127.0.0.1:{site.metrics_port}/metrics", trust_env=False).text
    assert "fusionai_workers_alive 1.0" in metrics and "fusionai_queue_age_seconds{" in metrics
    await_condition(lambda: answers(f"http://127.0.0.1:{site.flower_port}/healthcheck"), seconds=90, what="Flower")

    assert {name: site.stop(name) for name in site.running} == dict.fromkeys(PROCESSES, 0), site.logs()
    assert site.image.files() == code, "the code is read, and nothing else"
    assert {path.name for path in site.image.state.iterdir()} == {"files"}, "nothing is kept but files"
    site.command("verify", "--files")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def does_a_job(client: httpx.Client) -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"], answer.text


def does_a_batch(client: httpx.Client) -> None:
    body = {"model": "text-embedding-3-large", "input": "hello"}
    lines = [{"custom_id": str(n), "method": "POST", "url": "/v1/embeddings", "body": body} for n in range(20)]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = client.post("/v1/files", files={"file": ("lines.jsonl", content)}, data={"purpose": "batch"}).json()["id"]
    order = {"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch = client.post("/v1/batches", json=order).json()["id"]

    def ended() -> Mapping[str, Any] | None:
        found = client.get(f"/v1/batches/{batch}").json()
        return found if found["status"] in ("completed", "failed", "expired", "cancelled") else None

    found = await_condition(ended, seconds=90, what="the batch")
    assert found["request_counts"] == {"total": 20, "completed": 20, "failed": 0}, found
    output = client.get(f"/v1/files/{found['output_file_id']}/content").text
    assert len(output.splitlines()) == 20

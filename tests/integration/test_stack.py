"""`fusionai up` with a Procfile of dummies, a real Redis and database: it restarts, stops, leaves nothing behind."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from shared import clock
from tests import starting
from tests.conditions import await_condition
from tests.servers import migrated_sqlite

HERE = Path(__file__).parent
WEB = f"web: python {HERE / 'dummy_web.py'} $FUSIONAI_PORT\n"
SLEEPER = 'sleeper: python -c "import signal; signal.pause()"\n'
STUBBORN = f"stubborn: python {HERE / 'dummy_stubborn.py'}\n"

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc to find what was left behind")


class Up:
    """A running `fusionai up` of a test's own directory; where that is not what is tested, its tables are there."""

    def __init__(
        self, directory: Path, procfile: str, *options: str, from_nothing: bool = False, **settings: str
    ) -> None:
        self.state = directory / "state"
        if not from_nothing and not self.state.exists():
            self.state.mkdir(0o700)
            migrated_sqlite(self.state / "fusionai.sqlite3")
        (directory / "Procfile").write_text(procfile)
        env = {name: value for name, value in os.environ.items() if not name.startswith("FUSIONAI_")}
        env |= {"FUSIONAI_SIMULATOR_URL": "http://127.0.0.1:9"} | settings
        arguments = ["up", "--state", str(self.state), "--procfile", str(directory / "Procfile"), *options]
        self.output = directory / "output"
        with self.output.open("ab") as output:
            self.process = starting.start("producer.cli.__main__", env, output, *arguments)

    def stack(self) -> dict[str, Any]:
        """What stack.json says, once it is there."""
        stack = await_condition(lambda: self.process.poll() is not None or self._stack(), what="readiness")
        assert isinstance(stack, dict), self.output.read_text()
        return stack

    def _stack(self) -> dict[str, Any]:
        """stack.json if it is this run's: a killed supervisor leaves its own behind."""
        try:
            stack = dict(json.loads((self.state / "stack.json").read_text()))
        except FileNotFoundError:
            return {}
        return stack if stack["supervisor_pid"] == self.process.pid else {}

    def pid(self, name: str) -> int:
        return int(self.stack()["pids"].get(name, 0))

    def left(self) -> list[int]:
        """Every process of this stack, whoever its parent is now, told by its environment.

        Redis writes its title over its environment; it is told by its working directory.
        """
        mark = f"FUSIONAI_STATE_DIRECTORY={self.state}".encode()
        return [pid for pid in _pids() if mark in _environment(pid) or _working_directory(pid) == str(self.state)]

    def end(self, number: int) -> float:
        """Send a signal; the seconds until the supervisor was gone."""
        began = clock.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return clock.monotonic() - began


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _working_directory(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


@contextmanager
def up(directory: Path, procfile: str, *options: str, from_nothing: bool = False, **settings: str) -> Iterator[Up]:
    running = Up(directory, procfile, *options, from_nothing=from_nothing, **settings)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        await_condition(lambda: not running.left(), what="the end of every process")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack for the tests that leave it as it is, or as it will soon be again; the API's usual port was taken."""
    workers = SLEEPER.replace("sleeper", "worker")
    procfile = WEB + SLEEPER + workers + STUBBORN + "ghost: /nowhere/ghost\n"
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen(1)
        except OSError:
            pass  # somebody else has it: as good
        with up(tmp_path_factory.mktemp("up"), procfile, "--workers", "3", FUSIONAI_DRAIN_SECONDS="1") as stack:
            stack.stack()
            yield stack
            stack.end(signal.SIGTERM)  # the stubborn one's child would outlive SIGKILL


def test_it_starts_tells_and_stops(tmp_path: Path) -> None:
    with up(tmp_path, WEB + SLEEPER, from_nothing=True) as running:
        stack = running.stack()
        assert set(stack["pids"]) == {"redis", "web", "sleeper"}
        client = redis.Redis.from_url(stack["redis_url"])
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("save")["save"] == ""
        client.close()
        with redis.Redis(port=urlsplit(stack["redis_url"]).port or 0) as stranger, pytest.raises(redis.RedisError):
            stranger.ping()
        account = json.loads((running.state / "first-account.json").read_text())
        assert account["base_url"] == stack["base_url"]
        assert (running.state / "first-account.json").stat().st_mode & 0o777 == 0o600
        loose = [path for path in running.state.rglob("*") if path.stat().st_mode & 0o077]
        assert not loose, "all of it, SQLite's files too, is its owner's alone"
        await_condition(lambda: account["test_key"] in running.output.read_text(), what="the banner")
        assert account["live_key"] in running.output.read_text()
        for name in ("web", "sleeper", "database"):
            assert "started, process" in (running.state / "logs" / f"{name}.log").read_text()
        assert running.end(signal.SIGINT) < 30
        assert running.process.returncode == 0
        assert not running.left()
        assert not (running.state / "stack.json").exists()
        told = running.output.read_text() + "".join(log.read_text() for log in (running.state / "logs").iterdir())
        secrets = json.loads((running.state / "secrets.json").read_text())
        assert (running.state / "operator-password").read_text().strip() not in told
        assert not [name for name in ("redis_password", "redis_operator_password") if secrets[name] in told]
        assert "\x1b" not in running.output.read_text()


def test_the_same_account_is_shown_the_next_time(tmp_path: Path) -> None:
    shown = []
    for _ in range(2):
        with up(tmp_path, WEB, "--quiet") as running:
            running.stack()
            shown.append(json.loads((running.state / "first-account.json").read_text())["live_key"])
            running.end(signal.SIGTERM)
    assert shown[0] == shown[1]


def test_what_dies_starts_again(running: Up) -> None:
    first = running.stack()
    for name in ("sleeper", "redis", "web"):
        os.kill(first["pids"][name], signal.SIGKILL)
    for name in ("sleeper", "redis", "web"):
        await_condition(lambda name=name: running.pid(name) not in (0, first["pids"][name]), what=name)
    client = redis.Redis.from_url(first["redis_url"])
    await_condition(lambda: _answers(client), what="Redis on its old port")
    client.close()
    os.kill(running.pid("sleeper"), signal.SIGKILL)
    await_condition(lambda: "sleeper ended (SIGKILL); starts again in 0.2 s" in running.output.read_text())


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_the_stubborn_are_killed_in_time_with_their_children(tmp_path: Path) -> None:
    with up(tmp_path, WEB + STUBBORN) as running:
        stubborn = running.stack()["pids"]["stubborn"]
        await_condition(lambda: len(_group(stubborn)) == 2, what="the stubborn child")
        assert running.end(signal.SIGTERM) < 30, "the stubborn would stay for ever"
        assert not running.left()
        assert "stubborn did not stop in time: killed" in running.output.read_text()


def test_the_children_of_what_died_do_not_stay(running: Up) -> None:
    stubborn = running.pid("stubborn")
    await_condition(lambda: len(_group(stubborn)) == 2, what="the stubborn child")
    os.kill(stubborn, signal.SIGKILL)
    await_condition(lambda: not _group(stubborn), what="the end of its child")


def _group(leader: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for pid in _pids():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(pid)
    return found


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with up(tmp_path, WEB + SLEEPER, "--workers", "2") as running:
        running.stack()
        assert len(running.left()) >= 3
        running.end(signal.SIGKILL)
        await_condition(lambda: not running.left(), seconds=5, what="the end of every process")
    with up(tmp_path, WEB) as running:
        running.stack()


def test_one_directory_has_one_stack(running: Up) -> None:
    other = Up(running.state.parent, WEB)
    assert other.process.wait(20) == 1
    assert f"already runs in {running.state} (process {running.process.pid})" in other.output.read_text()
    assert running.process.poll() is None


@pytest.mark.parametrize("how", ["option", "FUSIONAI_PORT", "FUSIONAI_METRICS_PORT"])
def test_a_fixed_port_that_is_taken_is_said(tmp_path: Path, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options, settings = (["--port", port], {}) if how == "option" else ([], {how: port})
        running = Up(tmp_path, WEB, *options, **settings)
        assert running.process.wait(20) == 1
        message = running.output.read_text()
        assert f"port {port}" in message
        assert "Traceback" not in message
        assert not running.left()


def test_a_usual_port_that_is_taken_is_passed_over(running: Up) -> None:
    assert running.stack()["base_url"] != "http://127.0.0.1:8000/v1"
    assert "port 8000 is taken: API listens on" in running.output.read_text()


def test_workers_are_started_as_often_as_asked(running: Up) -> None:
    assert {name for name in running.stack()["pids"] if name.startswith("worker")} == {
        "worker.1",
        "worker.2",
        "worker.3",
    }


def test_a_program_that_is_not_there_is_said_and_the_rest_runs(running: Up) -> None:
    assert "ghost cannot start" in running.output.read_text()


def test_json_is_the_only_output(tmp_path: Path) -> None:
    with up(tmp_path, WEB, "--json") as running:
        stack = running.stack()
        await_condition(lambda: running.output.read_text().endswith("\n"), what="the line")
        assert json.loads(running.output.read_text().splitlines()[-1]) == stack


def test_a_wrong_procfile_is_said(tmp_path: Path) -> None:
    running = Up(tmp_path, "web python\n")
    assert running.process.wait(20) == 1
    assert "line 1: expected `name: command`" in running.output.read_text()


@pytest.mark.parametrize(
    ("name", "value"), [("HTTPS_PROXY", "ftp://me:s3cret@proxy"), ("FUSIONAI_CA_FILE", "/nowhere.pem")]
)
def test_a_way_out_that_cannot_be_used_is_said_before_anything_starts(tmp_path: Path, name: str, value: str) -> None:
    running = Up(tmp_path, WEB, **{name: value})
    assert running.process.wait(20) == 1
    message = running.output.read_text()
    assert f"invalid settings:\n  {name}: " in message and "s3cret" not in message and "Traceback" not in message

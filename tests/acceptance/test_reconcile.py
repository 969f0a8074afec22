"""`fusionai reconcile`: what the providers billed beside what was charged, by request id and by day and model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack, chat, embedding, image, own_stack


class World:
    """A stack of its own, whose simulator has billed nothing else."""

    def __init__(self, stack: Stack, account: Account, directory: Path) -> None:
        self.stack, self.account, self.directory = stack, account, directory
        self.fusionai = Command(stack, account)

    def export(self, name: str, path: str, **query: str) -> Path:
        """A report of the simulator's as a file."""
        file = self.directory / name
        file.write_bytes(httpx.get(f"{self.stack.simulator}{path}", params=query).raise_for_status().content)
        return file

    def table(self, provider: str) -> Path:
        return self.export(f"{provider}.csv", "/_simulator/usage", provider=provider)

    def found(self, *words: object, status: int = 0) -> dict[str, Any]:
        shown: dict[str, Any] = self.fusionai.json("reconcile", *words, status=status)
        return shown


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("reconcile")
    with own_stack(directory) as stack:
        account = stack.account()
        world = World(stack, account, directory)
        for number in range(3):
            account.run(chat(f"hello {number}"))
            account.run(chat(f"hello {number}", model="claude-3-opus"))
        account.run(embedding())
        account.run(image())
        cached = [{"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}]
        for _ in range(2):
            account.run(chat(model="claude-3-opus", messages=[{"role": "user", "content": cached}]))
        with stack.script({"fault": {"kind": "malformed_json"}, "times": 1, "contains": "once more"}):
            account.run(chat("once more"))
        yield world
        account.close()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_each_call_is_found_by_its_request_id(world: World, provider: str) -> None:
    found = world.found(world.table(provider))
    assert found["exact"] and found["by_request_id"] and found["providers"] == [provider]
    assert found["calls"]["repeated"] == found["calls"]["missing"] == found["calls"]["unexplained"] == 0
    assert found["calls"]["uncharged"] == (1 if provider == "openai" else 0), "the answer that was spoilt"
    assert found["calls"]["matched"] == (6 if provider == "openai" else 5)
    assert all(group["drift"] == {} for group in found["groups"])
    words = world.fusionai("reconcile", world.table(provider)).stdout
    assert "No drift." in words


REPORTS = {
    "openai": ("/openai/v1/organization/usage/completions", "group_by", 4),
    "anthropic": ("/anthropic/v1/organizations/usage_report/messages", "group_by[]", 5),
}


@pytest.mark.parametrize("provider", REPORTS)
def test_a_report_is_compared_by_day_and_model(world: World, provider: str) -> None:
    """OpenAI's has the call whose answer was spoilt in it, which is a drift."""
    path, group, calls = REPORTS[provider]
    file = world.export("report.json", path, **{group: "model"})
    status = 1 if provider == "openai" else 0
    found = world.found(file, status=status)
    assert not found["by_request_id"] and found["exact"] == (provider == "anthropic")
    model = "gpt-6-sol" if provider == "openai" else None
    rows = [row for row in found["groups"] if row["provider"] and (model is None or row["model"] == model)]
    assert sum(row["ledger"]["calls"] for row in rows) == calls
    assert all(row["drift"] == {} for row in rows) or provider == "openai"
    world.fusionai("reconcile", file, "--tolerance", "99%", status=status if provider == "openai" else 0)


def test_a_report_of_costs_shows_them_beside_the_charges(world: World) -> None:
    file = world.export("costs.json", "/anthropic/v1/organizations/cost_report", **{"group_by[]": "description"})
    (row,) = world.found(file)["groups"]
    assert row["cost"] == pytest.approx(row["charged"], abs=5e-6), "each charge is rounded up to a micro-credit"


def test_calls_that_no_job_has_and_charges_that_the_provider_does_not_count_are_named(world: World) -> None:
    lines = world.table("openai").read_text().splitlines()
    header, first, *rest = lines
    stranger = first.replace(first.split(",")[0], "req_of_nobody", 1)
    (world.directory / "odd.csv").write_text("\n".join([header, stranger, *rest]) + "\n")
    found = world.found(world.directory / "odd.csv", status=1)
    assert found["calls"]["missing"] == 1 and found["missing"][0]["request_id"] == first.split(",")[0]
    assert [one["request_id"] for one in found["repeated"]] == ["req_of_nobody"] and found["calls"]["unexplained"] == 1
    words = world.fusionai("reconcile", world.directory / "odd.csv", status=1).stdout
    assert "req_of_nobody" in words and found["missing"][0]["job"] in words and "Drift" in words


def test_a_lost_worker_explains_a_call_that_no_job_has(world: World) -> None:
    """As recovery writes it: the attempt of which nobody knows how it ended."""
    job = world.account.run(chat("lost once"))
    lost = {"provider": "openai", "model": "gpt-4", "started_at": job["started_at"], "finished_at": 1}
    kept = json.dumps([{**lost, "status_code": None, "error": "worker_lost"}])

    def work(connection: Any) -> None:
        after = f"UPDATE job_results SET attempts = '{kept[:-1]}, ' || substr(attempts, 2) WHERE job_id = '{job['id']}'"
        connection.execute(text(after.replace(":", "\\:")))

    world.stack.write(work)
    lines = world.table("openai").read_text().splitlines()
    again = lines[-1].replace(lines[-1].split(",")[0], "req_again", 1)
    (world.directory / "again.csv").write_text("\n".join([*lines, again]) + "\n")
    found = world.found(world.directory / "again.csv")
    assert found["exact"] and found["calls"]["repeated"] == 1 == found["calls"]["lost_with_workers"]


def test_other_tokens_than_were_charged_are_a_drift(world: World) -> None:
    header, *rows = world.table("openai").read_text().splitlines()
    at = header.split(",").index("output_tokens")
    cells = rows[0].split(",")
    cells[at] = str(int(cells[at]) + 7)
    (world.directory / "more.csv").write_text("\n".join([header, ",".join(cells), *rows[1:]]) + "\n")
    found = world.found(world.directory / "more.csv", status=1)
    assert [row["drift"] for row in found["groups"] if row["drift"]] == [{"output": 7}]
    assert world.found(world.directory / "more.csv", "--tolerance", "50%")["exact"]


def test_other_days_are_left_out_and_a_file_without_any_of_these_is_an_error(world: World) -> None:
    error = world.fusionai.error("reconcile", world.table("openai"), "--to", "2020-01-01", status=1)
    assert "has no usage in this time" in error["message"]
    nameless = world.directory / "nameless.csv"
    nameless.write_text("day,model,output_tokens\n2026-11-29,gpt-4,1\n")
    assert "--provider" in world.fusionai.error("reconcile", nameless, status=1)["message"]
    assert "no provider" in world.fusionai.error("reconcile", nameless, "--provider", "nobody", status=2)["message"]
    assert "no share" in world.fusionai.error("reconcile", nameless, "--tolerance", "much", status=2)["message"]

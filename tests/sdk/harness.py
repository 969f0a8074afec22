"""Runs the table of behaviours on the SDK of a language, through its runner, and tells which cases fail and why."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.sdk import checks
from tests.sdk.scripted import Script, serving
from tests.sdk.table import Case, cases

API_KEY = "fusionai_live_table"
#: Of a whole table, whose cases run at once; the longest of them takes some five seconds.
MOST_SECONDS = 120.0

_ROOT = Path(__file__).parents[2]


def failures(
    runner: Sequence[str], *names: str, environment: Mapping[str, str] | None = None, directory: Path = _ROOT
) -> dict[str, list[str]]:
    """What is wrong, by case; nothing: the SDK behaves."""
    wanted = cases(*names)
    scripts = {case["name"]: Script(case["answers"]) for case in wanted}
    with serving(scripts) as url:
        outcomes = _run(runner, [_told(case, url) for case in wanted], environment, directory)
    found = {case["name"]: _wrong(case, outcomes, scripts) for case in wanted}
    found["idempotency keys"] = [f"{key} was used by two calls" for key in _shared_keys(wanted, scripts)]
    return {name: wrong for name, wrong in found.items() if wrong}


def _wrong(case: Case, outcomes: Mapping[str, Any], scripts: Mapping[str, Script]) -> list[str]:
    if case["name"] not in outcomes:
        return ["the runner wrote nothing about it"]
    return checks.faults(case, outcomes[case["name"]], scripts[case["name"]].seen, API_KEY)


def _told(case: Case, url: str) -> Case:
    """What a runner is told of a case."""
    base_url = case.get("base_url", "{scheme}://{host}/{name}/v1")
    scheme, _, host = url.partition("://")
    return {
        "name": case["name"],
        "base_url": base_url.format(scheme=scheme, host=host, name=case["name"]),
        "api_key": case.get("api_key", API_KEY),
        "client": case.get("client", {}),
        "call": case["call"],
    }


def _run(
    runner: Sequence[str], told: Sequence[Case], environment: Mapping[str, str] | None, directory: Path
) -> dict[str, Any]:
    ran = subprocess.run(
        [*runner],
        input="".join(json.dumps(case) + "\n" for case in told),
        capture_output=True,
        encoding="utf-8",
        timeout=MOST_SECONDS,
        cwd=directory,
        env=None if environment is None else dict(environment),
        check=False,
    )
    outcomes = {}
    for line in ran.stdout.split("\n"):
        if line.strip():
            outcome = json.loads(line)
            outcomes[outcome["name"]] = outcome
    if ran.returncode != 0 or not outcomes:
        raise AssertionError(f"the runner ended with {ran.returncode}: {ran.stderr[-2000:]}")
    return outcomes


def _shared_keys(wanted: Sequence[Case], scripts: Mapping[str, Script]) -> list[str]:
    """Keys of more than one case, but for those of callers and of batches, which depend on the content."""
    counted: dict[str, int] = {}
    for case in wanted:
        if case["call"]["name"] == "batch" or "idempotency_key" in case["call"].get("options", {}):
            continue
        for key in checks.keys(scripts[case["name"]].seen):
            counted[key] = counted.get(key, 0) + 1
    return sorted(key for key, times in counted.items() if times > 1)

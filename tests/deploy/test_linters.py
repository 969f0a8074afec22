"""What linters and schemas say of the Dockerfile, compose.yaml, the units, the rules and the scripts."""

import re
import sys
from pathlib import Path

import pytest

from tests.deploy import tools
from tests.deploy.dockerfile import FILE, ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("fusionai*.*"))
SCRIPTS = [*DEPLOY.glob("*.sh"), *DEPLOY.glob("docker/*.sh"), ROOT / ".ci" / "run"]
#: The most that `systemd-analyze security` may find exposed, of 10.0: what it calls OK ends at 4.9.
EXPOSURE = 2.0


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    assert tools.run("hadolint", "--failure-threshold", "style", FILE).strip() == ""


def test_compose_is_what_the_specification_says() -> None:
    tools.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "docker" / "compose.yaml")


def test_systemd_would_load_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        if unit.suffix != ".example":
            text = re.sub(r"^(ExecStart=)/opt/fusionai/bin/\w+", rf"\1{sys.executable}", unit.read_text(), flags=re.M)
            (tmp_path / unit.name.replace("@.", "@8000.")).write_text(text)
    said = tools.run("systemd-analyze", "verify", *sorted(tmp_path.iterdir()), cwd=tmp_path)
    assert [line for line in said.splitlines() if "fusionai" in line] == []


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_exposes_little(unit: Path) -> None:
    said = tools.run(
        "systemd-analyze", "security", "--offline=true", f"--threshold={round(EXPOSURE * 10)}", "--no-pager", unit
    )
    assert "Overall exposure level" in said


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    monitoring = DEPLOY / "monitoring"
    assert "SUCCESS" in tools.run("promtool", "check", "config", monitoring / "prometheus.yml")
    assert "SUCCESS" in tools.run("promtool", "check", "rules", "--lint-fatal", monitoring / "alerts.yml")


def test_each_alert_fires_where_it_should_and_not_beside_that() -> None:
    assert "SUCCESS" in tools.run("promtool", "test", "rules", "alerts_test.yml", cwd=DEPLOY / "monitoring")


def test_each_alert_is_tested_where_it_fires() -> None:
    named = re.findall(r"alert: (\w+)", (DEPLOY / "monitoring" / "alerts.yml").read_text())
    tested = (DEPLOY / "monitoring" / "alerts_test.yml").read_text()
    fires = re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n", tested)
    assert sorted(set(named)) == sorted(set(fires)) and len(named) == len(set(named))


def test_shellcheck_has_nothing_to_say_of_the_scripts() -> None:
    tools.run("shellcheck", "--severity=warning", *SCRIPTS)

"""What deploy/ says of the system agrees with the system: commands, metrics, alerts, settings, times, sizes."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from producer import metrics
from producer.server.serve import KEEP_ALIVE_SECONDS, NOTICE_SHARE
from producer.stack import procfile
from producer.web.uploads import ENVELOPE_BYTES
from shared.settings import Settings
from shared.submissions.sizes import MOST_FILE_BYTES
from tests.deploy import dockerfile

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "fusionai"
ALERTS = DEPLOY / "monitoring" / "alerts.yml"
#: What asks for metrics.
ASKING = [ALERTS, DEPLOY / "monitoring/grafana/fusionai.json", CHART / "templates/workers.yaml"]
#: What says which processes there are.
STARTING = sorted(
    path for folder in ("docker", "helm", "systemd", "proxy") for path in (DEPLOY / folder).rglob("*") if path.is_file()
)
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}


def commands() -> dict[str, list[str]]:
    """Those of the Procfile."""
    return {name: command.split() for name, command in procfile.parse((ROOT / "Procfile").read_text()).items()}


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())


def values() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def of_unit(name: str, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", (DEPLOY / "systemd" / name).read_text(), re.M)
    return str(found)


def named(text: str) -> Iterator[tuple[str, str]]:
    """Metrics in expressions, each with what is asked of its labels."""
    yield from re.findall(r"(?<![\w-])(fusionai_[a-z_]+)(?:\{((?:[^{}]|\{\{.*?\}\})*)\})?", text)


def shown() -> dict[str, set[str]]:
    """Every sample that /metrics may show, with the names of its labels."""
    found: dict[str, set[str]] = {}
    for name, labels, _ in metrics.names.GAUGES:
        found[f"fusionai_{name}"] = set(labels)
    for name, kept, _, _ in metrics.names.COUNTERS:
        found[f"fusionai_{name}_total"] = set(metrics.exposition.metrics.LABELS.get(kept, ()))
    for part in ("bucket", "sum", "count"):
        found[f"fusionai_job_seconds_{part}"] = {"provider", "lane", "le"}
    return found


@pytest.mark.parametrize("file", ASKING, ids=lambda file: file.name)
def test_each_metric_that_is_asked_for_is_shown_with_those_labels(file: Path) -> None:
    asked = list(named(file.read_text().replace('\\"', '"')))
    known = shown()
    assert asked and {name for name, _ in asked} <= set(known)
    for name, selector in asked:
        assert set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", selector)) <= known[name], (name, selector)


def test_a_dashboard_shows_every_metric() -> None:
    board = json.loads((DEPLOY / "monitoring/grafana/fusionai.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name, _ in named(target["expr"])}
    beside = {"fusionai_job_seconds_sum", "fusionai_job_seconds_count", "fusionai_job_step_tokens_total"}
    assert asked == set(shown()) - beside
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_each_alert_has_its_line_in_the_runbook_and_no_other() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    section = (DEPLOY / "operating.md").read_text().partition("\n### Alerts\n")[2].partition("\n#")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.M) == [rule["alert"] for rule in rules]
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "ticket"}


def test_the_image_runs_the_web_process_unless_told_otherwise_and_compose_the_others() -> None:
    wanted = commands()
    assert dockerfile.read()[-1].command() == wanted["web"]
    flower = [
        word.replace("$FUSIONAI_FLOWER_PORT", "5555").replace("127.0.0.1", "0.0.0.0") for word in wanted["flower"]
    ]
    for name, command in {**wanted, "flower": flower}.items():
        assert compose()["services"][name]["command"] == command


def test_units_and_chart_start_what_the_procfile_does() -> None:
    for name, command in commands().items():
        unit = f"fusionai-{name}{'@' if name in ('web', 'worker') else ''}.service"
        started = of_unit(unit, "ExecStart").replace("${FUSIONAI_FLOWER_PORT}", "$FUSIONAI_FLOWER_PORT")
        assert started == "/opt/fusionai/bin/" + " ".join(command)
    templates = "".join(path.read_text() for path in (CHART / "templates").glob("*.yaml"))
    for command in commands().values():
        words = [word.replace("$FUSIONAI_FLOWER_PORT", "5555") for word in command]
        assert f"[{', '.join(words)}]" in templates or " ".join(f'"{word}"' for word in words) in templates


def test_units_wait_for_a_database_however_long_it_is_away() -> None:
    """`Requires=` would restart all with the migration, and start none for good after one that failed."""
    for unit in sorted((DEPLOY / "systemd").glob("*.service")):
        assert of_unit(unit.name, "StartLimitIntervalSec") == "0", "five starts in ten seconds are no end"
        assert of_unit(unit.name, "Restart") == ("on-failure" if "migrate" in unit.name else "always")
        assert "Requires=" not in unit.read_text() and "BindsTo=" not in unit.read_text()
        if "migrate" not in unit.name:
            for key in ("Wants", "After"):
                assert "fusionai-migrate.service" in of_unit(unit.name, key).split()


def test_a_health_check_asks_no_proxy_and_not_the_server_that_only_makes_the_database() -> None:
    services = compose()["services"]
    checks = [dockerfile.read()[-1].healthcheck(), services["flower"]["healthcheck"]["test"]]
    for check in checks:  # urllib goes by HTTP_PROXY, which Docker may give to every container
        assert "http.client" in check[-1] and "urllib" not in check[-1]
    asked = services["postgres"]["healthcheck"]["test"]
    assert asked[asked.index("-h") + 1] == "127.0.0.1"


def test_nothing_that_counts_against_a_memory_limit_holds_uploads() -> None:
    services = compose()["services"]
    for name in commands():
        assert "tmpfs" not in services[name] and "/tmp" in services[name]["volumes"], name


def test_whoever_stops_a_process_waits_longer_than_it_drains() -> None:
    drain = DEFAULTS["drain_seconds"]
    waits = [int(one["stop_grace_period"].removesuffix("s")) for one in [compose()["x-fusionai"]]]
    waits += [int(of_unit(f"fusionai-{name}.service", "TimeoutStopSec")) for name in ("web@", "worker@", "batches")]
    waits.append(values()["drainSeconds"] + values()["graceSeconds"])
    assert min(waits) >= drain + 10
    assert values()["stopNoticeSeconds"] <= values()["drainSeconds"] * NOTICE_SHARE


def test_proxies_wait_longer_than_the_server_and_keep_connections_shorter() -> None:
    longest = max(DEFAULTS[name] for name in ("wait_seconds", "stream_seconds", "call_seconds"))
    nginx, caddy = ((DEPLOY / "proxy" / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    ingress = values()["web"]["ingress"]["annotations"]
    waits = re.findall(r"(?:proxy_read_timeout|read_timeout|response_header_timeout) (\d+)s", nginx + caddy)
    waits.append(ingress["nginx.ingress.kubernetes.io/proxy-read-timeout"])
    assert len(waits) == 4 and min(map(int, waits)) > longest
    kept = re.findall(r"(?:keepalive_timeout|keepalive) (\d+)s", nginx + caddy)
    assert len(kept) == 2 and max(map(int, kept)) < KEEP_ALIVE_SECONDS


def test_proxies_let_the_largest_file_through() -> None:
    nginx, caddy = ((DEPLOY / "proxy" / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    ingress = values()["web"]["ingress"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    (nginx_size,) = re.findall(r"client_max_body_size (\d+)m;", nginx)
    (caddy_size,) = re.findall(r"max_size (\d+)MiB", caddy)
    for megabytes in (nginx_size, ingress.removesuffix("m"), caddy_size):
        assert int(megabytes) * 1024**2 >= MOST_FILE_BYTES + ENVELOPE_BYTES


@pytest.mark.parametrize("file", STARTING, ids=lambda file: file.name)
def test_each_setting_that_is_named_is_one(file: Path) -> None:
    known = {f"FUSIONAI_{name.upper()}" for name in DEFAULTS}
    assert set(re.findall(r"FUSIONAI_[A-Z_]*[A-Z]", file.read_text())) <= known


def test_images_are_named_by_exact_tags() -> None:
    images = [one["image"] for one in compose()["services"].values() if "$" not in one["image"]]
    images += re.findall(r"^ARG PYTHON_IMAGE=(\S+)", dockerfile.FILE.read_text(), re.M)
    assert len(images) == 6
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?[0-9]+\.[0-9]+(\.[0-9]+)?[\w.-]*", image), image


def test_what_compose_asks_for_is_written_by_new_env(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "docker" / "new-env.sh", tmp_path)
    run = [str(tmp_path / "new-env.sh")]
    subprocess.run(run, check=True, capture_output=True)
    written = dict(re.findall(r"^(\w+)=(\S+)$", (tmp_path / ".env").read_text(), re.M))
    asked = set(re.findall(r"(?<!\$)\$\{(\w+):\?", (DEPLOY / "docker" / "compose.yaml").read_text()))
    assert asked <= set(written) and (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    secrets = [value for name, value in written.items() if name.endswith(("PASSWORD", "SECRET"))]
    assert len(set(secrets)) == len(secrets) == 7 and all(len(one) == 64 for one in secrets)
    assert all(re.fullmatch("[0-9a-f]+", one) for one in secrets), "they stand in URLs"
    again = subprocess.run(run, check=False, capture_output=True, text=True)
    assert again.returncode == 1 and "is there already" in again.stderr


def test_new_env_writes_nothing_without_random_numbers(tmp_path: Path) -> None:
    """An empty secret would be written down, and believed."""
    shutil.copy(DEPLOY / "docker" / "new-env.sh", tmp_path)
    (tmp_path / "od").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "od").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([tmp_path / "new-env.sh"], env={"PATH": path}, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "no random numbers" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"new-env.sh", "od"}


def test_what_is_published_is_published_on_loopback() -> None:
    ports = [port for one in compose()["services"].values() for port in one.get("ports", ())]
    assert len(ports) == 4 and all(port.startswith("127.0.0.1:") for port in ports)


def test_whatever_compose_mounts_is_there() -> None:
    for one in compose()["services"].values():
        for volume in one.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose()["volumes"] or (DEPLOY / "docker" / source).exists(), volume


def test_what_the_image_copies_is_let_through_and_there() -> None:
    ignore = (dockerfile.FILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    install, final = dockerfile.read()
    sources = [source for rest in install.all("COPY") for source in rest.split()[:-1]]
    assert {f"!{source}" for source in sources} == {line for line in ignore if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)
    assert final.last("USER") == "10001:10001" and final.environment()["PYTHONDONTWRITEBYTECODE"] == "1"

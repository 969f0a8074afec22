"""The chart, rendered by Helm's own engine (helm-python-sdk has it as a library), against Kubernetes' own schemas.

Not run anywhere here: a cluster, and KEDA, whose ScaledObject is held against what its documentation says.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from producer.stack import procfile
from tests.deploy.dockerfile import ROOT

CHART = ROOT / "deploy" / "helm" / "fusionai"
#: The oldest and the newest Kubernetes that is tried; Chart.yaml says from which on.
KUBERNETES = ("1.27", "1.37")
#: Values under which everything is there.
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example/fusionai", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "files": {"existingClaim": "files"},
    "catalogue": '[models.own]\nprovider = "vllm"\n',
    "web": {
        "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"},
        "forwardedAllowIps": "10.0.0.0/8",
    },
    "workers": {
        "all": {"autoscaling": {"enabled": True}},
        "openai": {
            "queues": "openai.realtime,openai.batch",
            "replicas": 1,
            "resources": {},
            "autoscaling": {
                "enabled": True,
                "minReplicas": 1,
                "maxReplicas": 4,
                "realtimeSeconds": 2,
                "providers": "openai|azure",
            },
        },
    },
    "flower": {"enabled": True},
    "podAnnotations": {"team": "ai"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
}
GIVEN = pytest.mark.parametrize("given", [{}, EVERYTHING], ids=["as it comes", "everything"])


def rendered(given: dict[str, Any]) -> list[Any]:
    """Every object of a release."""
    from helm_python.chart import Chart

    with Chart.load(CHART) as chart:
        files = chart.render(given, name="demo", namespace="ai", is_install=True)
    texts = [text for name, text in files.items() if not name.endswith(".txt")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def of_kind(objects: Sequence[Any], kind: str) -> list[Any]:
    return [one for one in objects if one["kind"] == kind]


def pods(objects: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """The name of each process, and its pod."""
    for one in [*of_kind(objects, "Deployment"), *of_kind(objects, "Job")]:
        yield one["metadata"]["labels"]["app.kubernetes.io/component"], one["spec"]["template"]["spec"]


def test_helm_has_nothing_to_say_of_it() -> None:
    from helm_python.chart import lint

    for given in ({}, EVERYTHING):
        found = lint(CHART, given)
        said = [one["error"] for one in found["messages"] if "icon is recommended" not in one["error"]]
        assert said == found["errors"] == []


@GIVEN
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_object(given: dict[str, Any], version: str) -> None:
    import kubernetes_validate

    objects = [one for one in rendered(given) if one["kind"] != "ScaledObject"]
    assert len(objects) >= 9
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


@GIVEN
def test_each_process_runs_its_line_of_the_procfile_as_nobody_and_writes_nothing(given: dict[str, Any]) -> None:
    lines = procfile.parse((ROOT / "Procfile").read_text())
    seen = set()
    for component, pod in pods(rendered(given)):
        (container,) = pod["containers"]
        seen.add(kind := component.partition("-")[0])
        line = lines.get(kind, "fusionai migrate").replace("$FUSIONAI_FLOWER_PORT", "5555")
        assert container["command"] == line.split()
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        spread = [one["topologyKey"] for one in pod["topologySpreadConstraints"]]
        assert spread == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        env = {one["name"]: one["value"] for one in container["env"]}
        assert pod["terminationGracePeriodSeconds"] >= int(env["FUSIONAI_DRAIN_SECONDS"]) + 10
    assert seen == {*lines, "migrate"} - (set() if given else {"flower"})


@GIVEN
def test_whatever_a_container_mounts_is_a_volume_that_is_there(given: dict[str, Any]) -> None:
    objects = rendered(given)
    maps = {one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")}
    for component, pod in pods(objects):
        volumes = {one["name"]: one for one in pod["volumes"]}
        assert {one["name"] for one in pod["containers"][0]["volumeMounts"]} == set(volumes)
        assert {one["configMap"]["name"] for one in volumes.values() if "configMap" in one} <= maps
        assert ("catalogue" in volumes) == (given != {} and component != "migrate"), "a hook goes before the ConfigMap"


@GIVEN
def test_selectors_choose_their_own_pods_and_no_others(given: dict[str, Any]) -> None:
    objects = rendered(given)
    deployments = of_kind(objects, "Deployment")
    every = [one["spec"]["template"]["metadata"]["labels"] for one in deployments]
    selectors = [
        one["spec"]["selector"]["matchLabels"] for one in [*deployments, *of_kind(objects, "PodDisruptionBudget")]
    ]
    selectors += [one["spec"]["selector"] for one in of_kind(objects, "Service")]
    for selector in selectors:
        assert len([labels for labels in every if selector.items() <= labels.items()]) == 1


def test_the_web_process_is_probed_where_it_says_how_it_is() -> None:
    (web,) = [pod["containers"][0] for name, pod in pods(rendered({})) if name == "web"]
    paths = {kind: web[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_longest_names_are_still_labels() -> None:
    from helm_python.chart import Chart

    pool = {"replicas": 1, "resources": {}, "autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 2}}
    with Chart.load(CHART) as chart:
        files = chart.render({"workers": {"p" * 30: pool}}, name="r" * 53, namespace="ai", is_install=True)
    texts = [text for name, text in files.items() if not name.endswith(".txt")]
    names = [found["metadata"]["name"] for text in texts for found in yaml.safe_load_all(text) if found]
    assert max(map(len, names)) == 63 and f"{'r' * 30}-worker-{'p' * 25}" in names


def test_notes_warn_of_an_ingress_that_is_not_believed() -> None:
    from helm_python.chart import Chart

    def notes(web: dict[str, Any]) -> str:
        with Chart.load(CHART) as chart:
            files = chart.render({"web": web}, name="demo", namespace="ai", is_install=True)
        return "".join(text for name, text in files.items() if name.endswith(".txt"))

    assert "forwardedAllowIps" not in notes({})
    assert "forwardedAllowIps is empty" in notes({"ingress": {"enabled": True}})
    assert "forwardedAllowIps" not in notes({"ingress": {"enabled": True}, "forwardedAllowIps": "10.0.0.0/8"})


def test_the_schema_is_changed_before_the_processes() -> None:
    (job,) = of_kind(rendered({}), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_pools_are_scaled_by_the_age_of_what_waits() -> None:
    objects = rendered(EVERYTHING)
    scaled = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "ScaledObject")}
    assert set(scaled) == {"demo-worker-all", "demo-worker-openai"}
    for name, spec in scaled.items():
        (pool,) = [one for one in of_kind(objects, "Deployment") if one["metadata"]["name"] == name]
        assert spec["scaleTargetRef"] == {"name": name} and "replicas" not in pool["spec"]
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            assert trigger["type"] == "prometheus" and trigger["metricType"] == "Value"
            # Of a trigger's metadata KEDA takes strings alone.
            assert {type(value) for value in trigger["metadata"].values()} == {str}
            assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold", "ignoreNullValues"}
    assert [one["name"] for one in scaled["demo-worker-all"]["triggers"]] == ["batch", "realtime", "webhooks"]
    (own,) = scaled["demo-worker-openai"]["triggers"]
    assert 'lane="realtime"' in own["metadata"]["query"] and 'provider=~"openai|azure"' in own["metadata"]["query"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"drain": 1},
        {"drainSeconds": "20s"},
        {"settings": {"FUSIONAI_KEY_SECRET": "in the open"}},
        {"settings": {"OPENAI_API_KEY": "in the open"}},
        {"settings": {"FUSIONAI_STRIPE_WEBHOOK_SECRET": "in the open"}},
        {"settings": {"FUSIONAI_CONSOLE": True}},
        {"image": {"digest": "latest"}},
        {"workers": {"Not A Name": {"replicas": 1, "resources": {}}}},
        {"existingSecret": ""},
    ],
    ids=str,
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    from helm_python.chart import Chart
    from helm_python.errors import HelmValuesError

    with Chart.load(CHART) as chart, pytest.raises(HelmValuesError):
        chart.validate_schema(wrong)


def test_queries_are_good_promql(tmp_path: Path) -> None:
    from tests.deploy import tools

    found = [
        trigger["metadata"]["query"]
        for one in of_kind(rendered(EVERYTHING), "ScaledObject")
        for trigger in one["spec"]["triggers"]
    ]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(found)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "keda", "rules": rules}]}))
    assert f"{len(found)} rules found" in tools.run("promtool", "check", "rules", tmp_path / "rules.yml")

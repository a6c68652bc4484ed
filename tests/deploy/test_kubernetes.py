"""deploy/kubernetes/, without a cluster: schemas, what its files say of each other, and the Jobs of runs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job, get_user_defined_k8s_config
from kubernetes.client import ApiClient

from bigbrotr_dagster.config.file import parse_config
from bigbrotr_dagster.config.options import NetworkConfig
from tests.deploy.compose import DEPLOY

KUBERNETES = "1.33"
"""The oldest release that the manifests are checked against; the newest is what the schemas have."""


def documents(name: str) -> list[dict[str, Any]]:
    return [*yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text(encoding="utf-8"))]


VALUES = documents("values.yaml")[0]
MANIFESTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    if path.name != "values.yaml"
    for document in documents(path.name)
]


@pytest.mark.parametrize("release", [KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_manifests_are_of_their_schemas(manifest: dict[str, Any], release: str) -> None:
    kubernetes_validate.validate(manifest, release, strict=True)


def pods_of_values() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What the values say of pods and their containers, by where they say it."""
    [code] = VALUES["dagster-user-deployments"]["deployments"]
    for name, part in [
        ("webserver", VALUES["dagsterWebserver"]), ("daemon", VALUES["dagsterDaemon"]), ("code", code)
    ]:  # fmt: skip
        container = {key: part[key] for key in ("resources", "securityContext")}
        pod = {"securityContext": part["podSecurityContext"]}
        if name == "code":
            container |= {"env": code["env"], "volumeMounts": code["volumeMounts"]}
            container["envFrom"] = [{"secretRef": secret} for secret in code["envSecrets"]]
            pod["volumes"] = code["volumes"]
        yield name, pod, container
    run = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    yield "run", run["podSpecConfig"], run["containerConfig"]


def test_values_say_of_pods_what_pods_can_be_told() -> None:
    for name, pod, container in pods_of_values():
        whole = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": pod | {"containers": [{"name": name, "image": "any"} | container]},
        }
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)
        assert pod["securityContext"]["runAsNonRoot"]
        assert "memory" in container["resources"]["limits"]


def names(kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in MANIFESTS if one["kind"] == kind}


def test_values_and_manifests_agree() -> None:
    [code] = VALUES["dagster-user-deployments"]["deployments"]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert not code["includeConfigInLaunchedRuns"]["enabled"], "runs would have its label, and its resources"
    for key in ("envSecrets", "volumes", "volumeMounts"):
        assert launcher[key] == code[key]
    assert {secret["name"] for secret in code["envSecrets"]} <= names("Secret")
    assert VALUES["global"]["postgresqlSecretName"] in names("Secret")
    assert {volume["configMap"]["name"] for volume in code["volumes"]} <= names("ConfigMap")
    parts = set(re.findall(r"bigbrotr/part: (\w+)", (DEPLOY / "kubernetes" / "values.yaml").read_text()))
    parts |= {"migrate", "tor"}
    policies = (DEPLOY / "kubernetes" / "network-policies.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"bigbrotr/part: (\w+)", policies))
    named |= {part for values in re.findall(r"values: \[(.+?)\]", policies) for part in values.split(", ")}
    assert named == parts - {"migrate"}, "that one needs no more than all have"
    ports = {int(port) for port in re.findall(r"port: (\d+)", policies)}
    assert {code["port"], VALUES["dagsterWebserver"]["service"]["port"]} <= ports


def configured() -> dict[str, NetworkConfig]:
    """The networks of the example's configuration."""
    [configuration] = [one for one in MANIFESTS if one["kind"] == "ConfigMap"]
    options = parse_config(yaml.safe_load(configuration["data"]["synchronizer.yaml"]), "secrets.yaml")
    return {"clearnet": options.networks.clearnet, "tor": options.networks.tor}


def job_of_a_run(network: str) -> dict[str, Any]:
    """The Job that Dagster's run launcher makes for a scheduled run of this network."""
    given = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    launcher = {
        "run_k8s_config": snake_case(given["runK8sConfig"]),
        "env_secrets": [secret["name"] for secret in given["envSecrets"]],
        "env_vars": given["envVars"],
        "volumes": given["volumes"],
        "volume_mounts": given["volumeMounts"],
    }
    tags = {key: json.dumps(value) for key, value in configured()[network].run_tags.items()}
    context = K8sContainerContext.create_from_config({"k8s": launcher})
    context = context.merge(K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(tags)))
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="any", dagster_home="/opt/dagster/dagster_home"),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        user_defined_k8s_config=context.run_k8s_config,
        component="run_worker",
    )
    made: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    return made


def snake_case(value: Any) -> Any:
    """As the chart writes values into dagster.yaml; names of labels stay."""
    if not isinstance(value, dict):
        return value
    return {
        key if "/" in key else re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): snake_case(one)
        for key, one in value.items()
    }


def test_a_networks_runs_are_given_the_resources_of_its_tags() -> None:
    found = {}
    for network in ("clearnet", "tor"):
        job = job_of_a_run(network)
        kubernetes_validate.validate(job, KUBERNETES)
        pod = job["spec"]["template"]
        assert pod["metadata"]["labels"]["bigbrotr/part"] == "run", "the policies know it by this"
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        [container] = pod["spec"]["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        found[network] = container["resources"]["limits"]["memory"]
    assert found == {"clearnet": "2Gi", "tor": "1Gi"}

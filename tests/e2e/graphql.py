"""Dagster's UI, asked in its own language."""

import json
import time
import urllib.request
from collections.abc import Callable
from statistics import mean
from typing import Any, TypeVar

from tests.machine import crowding

T = TypeVar("T")

JOB = {"repositoryName": "__repository__", "repositoryLocationName": "bigbrotr_dagster.definitions"}

LAUNCH = """mutation ($params: ExecutionParams!) {launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""


def launch_parameters(config: dict[str, Any], *tags: str) -> dict[str, Any]:
    """The variable of `LAUNCH`: job relay_sync with a config for its op, and a run with these tags."""
    return {
        "selector": JOB | {"jobName": "relay_sync"},
        "runConfigData": {"ops": {"relay_cursor": {"config": config}}},
        "executionMetadata": {"tags": [{"key": tag, "value": "yes"} for tag in tags]},
    }


def eventually(look: Callable[[], T | None], seconds: float, every: float = 0.5) -> T:
    """What `look` returns once it is true; an idle machine has so many seconds, a busy one more."""
    started, seen = time.monotonic(), [crowding()]
    while not (found := look()):
        seen.append(crowding())
        in_time = time.monotonic() - started < seconds * mean(seen)
        assert in_time, f"not within {seconds:g} s; last seen: {found!r}"
        time.sleep(every)
    return found


class Ui:
    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that answer a query or a mutation."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]

    def answers(self) -> bool:
        try:
            return bool(self.ask("{version}")["version"])
        except OSError:
            return False

    def green(self) -> set[str]:
        """The partitions of relay_cursor that are materialized."""
        return self._partitions("materializedPartitions")

    def failed(self) -> set[str]:
        """Those whose newest run failed."""
        return self._partitions("failedPartitions")

    def partitions(self) -> set[str]:
        return self.green() | self.failed() | self._partitions("unmaterializedPartitions")

    def _partitions(self, field: str) -> set[str]:
        query = """{assetNodes(assetKeys: [{path: ["relay_cursor"]}]) {assetPartitionStatuses {
            ... on DefaultPartitionStatuses {%s}}}}"""
        nodes = self.ask(query % field)["assetNodes"]
        return set(nodes[0]["assetPartitionStatuses"][field]) if nodes else set()

    def runs(self, tag: str | None = None) -> dict[str, str]:
        """Status by id of the runs that have a tag, newest first."""
        query = "{runsOrError {... on Runs {results {runId status tags {key}}}}}"
        found = self.ask(query)["runsOrError"]["results"]
        return {
            run["runId"]: run["status"]
            for run in found
            if tag is None or any(each["key"] == tag for each in run["tags"])
        }

    def materializations(self, partition: str) -> dict[str, set[str]]:
        """The labels of the metadata that each run left on a partition, newest first."""
        query = """query ($partition: String!) {assetNodes(assetKeys: [{path: ["relay_cursor"]}]) {
            assetMaterializations(partitions: [$partition], limit: 100) {runId metadataEntries {label}}}}"""
        found = self.ask(query, partition=partition)["assetNodes"][0]["assetMaterializations"]
        return {one["runId"]: {entry["label"] for entry in one["metadataEntries"]} for one in found}

    def has_picture(self) -> bool:
        """Whether archive_coverage is materialized."""
        query = (
            """{assetNodes(assetKeys: [{path: ["archive_coverage"]}]) {assetMaterializations(limit: 1) {runId}}}"""
        )
        return bool(self.ask(query)["assetNodes"][0]["assetMaterializations"])

    def backfill(self, partitions: list[str]) -> str:
        """Start a backfill as the UI's dialog does; returns its id."""
        mutation = """mutation ($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {
            __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
        params = {"assetSelection": [{"path": ["relay_cursor"]}], "partitionNames": partitions, "tags": []}
        answer = self.ask(mutation, params=params)["launchPartitionBackfill"]
        assert "backfillId" in answer, answer
        return str(answer["backfillId"])

    def backfill_status(self, backfill: str) -> str:
        query = """query ($id: String!) {partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill {status}}}"""
        return str(self.ask(query, id=backfill)["partitionBackfillOrError"]["status"])

    def launch(self, config: dict[str, Any]) -> str:
        """Start job relay_sync with a config for its op; returns the run's id."""
        answer = self.ask(LAUNCH, params=launch_parameters(config))["launchRun"]
        assert "run" in answer, answer
        return str(answer["run"]["runId"])

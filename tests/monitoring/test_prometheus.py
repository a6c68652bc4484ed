"""Rules and dashboard name what `metrics` exports, and a real Prometheus takes all of it."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from bigbrotr_dagster.archive.metrics import archive_metrics
from bigbrotr_dagster.storage.sessions import open_pool
from bigbrotr_dagster.storage.state import begin_cycle, finish_cycle
from tests.debian import unpacked
from tests.e2e.graphql import eventually
from tests.e2e.test_metrics import fill, serving
from tests.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yaml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/bigbrotr.json").read_text())
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DRAWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [*DRAWN, *(rule["expr"] for rule in ALERTS.values())]

WORDS = {"and", "or", "unless", "offset", "bool"}
_TOKEN = re.compile(
    r"""
    \[[^\]]*\] | \d[\w.]*                                    # a range, a number, a duration
    | \b(?:by|without|on|ignoring)\s*\([^)]*\)               # labels
    | [a-zA-Z_]\w*(?=\s*(?:\(|by\b|without\b))                # a function
    | (?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})?   # a metric, or a word of the language
    """,
    re.VERBOSE,
)


@pytest.fixture
async def filled(database: str) -> str:
    """URL of an archive in which every metric has a sample."""
    await fill(database)
    async with open_pool(database) as pool, pool.connection() as connection:
        await begin_cycle(connection, "one", 3)
        await finish_cycle(connection, "one", ok=True)
    return database


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The metrics that an expression of PromQL names, with what it asks their labels to be."""
    for found in _TOKEN.finditer(expression):
        if found["name"] and found["name"] not in WORDS:
            yield found["name"], dict(re.findall(r'(\w+)="([^"]*)"', found["labels"] or ""))


def exported(database: str) -> dict[str, dict[str, set[str]]]:
    """Each sample's name, its labels, and the values that they have."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in archive_metrics(database).collect():
        for sample in family.samples:
            labels = found[sample.name]
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


async def test_every_expression_names_what_is_exported(filled: str) -> None:
    known = exported(filled)
    named = set()
    for expression in EXPRESSIONS:
        found = list(selectors(expression))
        assert found, expression
        for name, labels in found:
            assert name in known, expression
            for label, value in labels.items():
                assert value in known[name][label], expression
            named.add(name)
        for inside in re.findall(r"\bby\s*\(([^)]*)\)", expression):
            for label in (word.strip() for word in inside.split(",")):
                assert any(label in known[name] for name, _ in found), expression
    ours = {name for name in known if name.startswith("bigbrotr_")}
    assert ours - named == {"bigbrotr_build_info"} - named, "the dashboard or a rule has every figure of ours"


def test_the_alerts_that_the_documents_name_are_rules() -> None:
    page = (ROOT / "docs/operating.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    documented = [code for code in page.split("`")[1::2] if re.search("[=>]", code)]
    assert len(documented) >= 3
    assert {*documented} <= {rule["expr"] for rule in ALERTS.values()}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in ALERTS.values():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_panels_lie_side_by_side() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def promtool(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    """Its exit code, and what it says."""
    result = subprocess.run([unpacked("promtool", "prometheus"), *arguments], input=stdin, capture_output=True)
    return result.returncode, (result.stdout + result.stderr).decode()


def test_promtool_takes_the_rules() -> None:
    code, said = promtool("check", "rules", str(RULES))
    assert (code, f"{len(ALERTS)} rules found" in said) == (0, True), said


async def test_promtool_finds_nothing_wrong_with_our_names(filled: str) -> None:
    _, said = promtool("check", "metrics", stdin=generate_latest(archive_metrics(filled)))
    assert said.splitlines() == [  # the names are BigBrotr's
        "service_counter_total metric name should not include type 'counter'",
        "service_gauge metric name should not include type 'gauge'",
    ]


def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": CASES}))
    code, said = promtool("test", "rules", str(path))
    assert code == 0, said


def case(series: dict[str, str], firing: dict[str, list[dict[str, str]]], after: str) -> dict[str, Any]:
    """With these series (a value a minute), these alerts fire after so long, with these labels, and no other."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": after,
                "alertname": name,
                "exp_alerts": [
                    {
                        "exp_labels": {"severity": rule["labels"]["severity"], **labels},
                        "exp_annotations": rendered(rule, *EXPECTED.get(name, ())),
                    }
                    for labels in firing.get(name, [])
                ],
            }
            for name, rule in ALERTS.items()
        ],
    }


def rendered(rule: dict[str, Any], *values: str) -> dict[str, str]:
    """The annotations with their templates filled in, one after another."""
    texts = dict(rule["annotations"])
    for value in values:
        texts["summary"] = re.sub(r"\{\{.*?\}\}", value, texts["summary"], count=1)
    return texts


EXPECTED = {
    "BigbrotrNoSuccess": ("tor", "1h 30m 0s"),
    "BigbrotrLag": ("tor", "2h 30m 0s"),
    "BigbrotrRelaysFail": ("60%", "tor"),
    "BigbrotrGapsGrow": ("250",),
}
WELL = {
    "bigbrotr_build_info": "1x2000",
    "bigbrotr_database_up": "1x2000",
    'bigbrotr_last_success_timestamp_seconds{network="tor"}': "0+60x2000",
    'bigbrotr_lag_median_seconds{network="tor"}': "600x2000",
    'bigbrotr_relays{network="tor",state="failed"}': "1x2000",
    'bigbrotr_relays{network="tor",state="ok"}': "9x2000",
    'bigbrotr_gaps{reason="refused"}': "125x2000",
    'bigbrotr_events_new_total{network="tor"}': "0+5x2000",
}
CASES = [
    case(WELL, {}, "26h"),
    case({}, {"BigbrotrMetricsAbsent": [{}]}, "10m"),
    case(
        {
            "bigbrotr_build_info": "1x2000",
            "bigbrotr_database_up": "0x2000",
        },
        {"BigbrotrDatabaseDown": [{}]},
        "5m",
    ),
    case(
        WELL | {'bigbrotr_last_success_timestamp_seconds{network="tor"}': "0x2000"},
        {"BigbrotrNoSuccess": [{"network": "tor"}]},
        "90m",
    ),
    case(
        WELL
        | {
            'bigbrotr_lag_median_seconds{network="tor"}': "9000x2000",
            'bigbrotr_relays{network="tor",state="failed"}': "6x2000",
            'bigbrotr_relays{network="tor",state="ok"}': "4x2000",
            'bigbrotr_gaps{reason="refused"}': "125x1440 250x500",
            'bigbrotr_events_new_total{network="tor"}': "5x2000",
        },
        {
            "BigbrotrLag": [{"network": "tor"}],
            "BigbrotrRelaysFail": [{"network": "tor"}],
            "BigbrotrNothingNew": [{}],
        },
        "23h",
    ),
]


async def test_a_real_prometheus_scrapes_and_answers_all_of_it(filled: str, tmp_path: Path) -> None:
    theirs = free_port()
    with serving(tmp_path, filled) as (ours, _):
        targets = [{"targets": [f"127.0.0.1:{ours}"]}]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "bigbrotr", "static_configs": targets}],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        process = subprocess.Popen(
            [unpacked("prometheus", "prometheus"), f"--config.file={tmp_path}/prometheus.yml",
             f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{theirs}"],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            eventually(lambda: values(theirs, "count_over_time(bigbrotr_database_up[1m]) >= 3"), 60)
            for expression in DRAWN:
                assert values(theirs, expression.replace("$__rate_interval", "5m")), expression
            eventually(lambda: all(rule["health"] == "ok" for rule in rules(theirs)), 60)
        finally:
            process.kill()
            process.wait()


def asked(port: int, path: str, **parameters: str) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.loads(answer.read())["data"]
    except OSError:
        return {"result": [], "groups": []}


def values(port: int, expression: str) -> list[Any]:
    """The result of an expression now; nothing while Prometheus does not answer."""
    found: list[Any] = asked(port, "query", query=expression, time=f"{time.time():.3f}")["result"]
    return found


def rules(port: int) -> list[dict[str, Any]]:
    return [rule for group in asked(port, "rules")["groups"] for rule in group["rules"]]

"""The asset `archive_report`: a click makes the page, and a schedule makes it once a day where it can be made."""

from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.archive.report import run
from bigbrotr_dagster.definitions import defs
from bigbrotr_dagster.defs.report import report_schedule
from tests.defs.helpers import Graph
from tests.e2e.program import environment, said

pytestmark = pytest.mark.slow

REPORT = dg.AssetKey("archive_report")


def test_the_graph_loads_without_the_extras(tmp_path: Path) -> None:
    hide = "import sys; sys.modules |= dict.fromkeys(['plotly', 'duckdb', 'pyarrow', 'maxminddb'])"
    said(["python", "-c", f"{hide}; import bigbrotr_dagster.definitions"], tmp_path, environment(tmp_path))


def make(graph: Graph) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("report").execute_in_process(instance=graph.instance, raise_on_error=False)


def test_a_click_writes_the_page_and_says_where(graph: Graph) -> None:
    assert make(graph).success
    event = graph.instance.get_latest_materialization_event(REPORT)
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert isinstance(metadata["path"], dg.PathMetadataValue)
    path = Path(str(metadata["path"].value))
    assert path.parts[-2:] == ("report", "archive.html")
    assert path.stat().st_size == metadata["bytes"].value
    assert "<h1>Archive report</h1>" in path.read_text()


def test_without_plotly_a_click_fails_with_one_line_and_the_schedule_starts_nothing(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(report_schedule(), dg.RunRequest)
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    says = "the report needs more: pip install 'bigbrotr-dagster[report]'"
    skipped = report_schedule()
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == says
    [failure] = [event for event in make(graph).all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description == says

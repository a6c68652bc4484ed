"""One Dagster instance and one archive for each module; relays for each test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from bigbrotr_dagster.defs.instance import prepare_home
from tests.conftest import _clone
from tests.defs.helpers import Graph, Relays

CONFIG = """
allow_private: true
networks: {clearnet: {timeout: 10, max_tasks: 5}}
processing: {end_lag: 0, since: 1789990000}
"""


@pytest.fixture(scope="module")
def graph(embedded_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """The definitions on an empty archive, whose Dagster database is new, too."""
    folder = tmp_path_factory.mktemp("graph")
    (folder / "synchronizer.yaml").write_text(CONFIG)
    with contextmanager(_clone)(embedded_server) as database, pytest.MonkeyPatch.context() as environment:
        environment.setenv("BIGBROTR_DATABASE_URL", database)
        environment.setenv("BIGBROTR_CONFIG", str(folder / "synchronizer.yaml"))
        environment.setenv("BIGBROTR_DATA_DIR", str(folder))
        environment.delenv("DAGSTER_HOME", raising=False)
        environment.setenv("DAGSTER_HOME", str(prepare_home()))
        with dg.DagsterInstance.get() as instance:
            yield Graph(instance, database)


@pytest.fixture
def relays() -> Iterator[Relays]:
    with Relays() as serving:
        yield serving


@pytest.fixture
def config_file(graph: Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A configuration of the test's own, which it may write to."""
    path = tmp_path / "synchronizer.yaml"
    path.write_text(CONFIG)
    monkeypatch.setenv("BIGBROTR_CONFIG", str(path))
    return path

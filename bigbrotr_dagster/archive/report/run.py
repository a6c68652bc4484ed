"""A report, from the archive into a file."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bigbrotr_dagster.archive.report.errors import ReportRefused
from bigbrotr_dagster.archive.report.facts import ReportFacts, gather
from bigbrotr_dagster.archive.report.page import page
from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.storage.address import data_dir
from bigbrotr_dagster.storage.private_files import make_private_folder, write_whole


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written: where, its bytes, its plots, and what it shows."""

    path: Path
    bytes: int
    plots: int
    facts: ReportFacts


def default_path() -> Path:
    """Where the report is, unless another file is named: in the data folder."""
    return data_dir() / "report" / "archive.html"


def needs() -> str | None:
    """What has to be installed before a report can be made, in one line; None where nothing is missing."""
    if find_spec("plotly") is None:
        return "the report needs more: pip install 'bigbrotr-dagster[report]'"
    return None


def write_report(
    database_url: str, config: SynchronizerConfig, path: Path | None = None, *, now: float | None = None
) -> Report:
    """Make the report, and put it in the place of an older one at once. `path`: default is `default_path`.

    Raises:
        ReportRefused: plotly is missing, or the file cannot be written.
        DatabaseUnavailable: the archive does not answer, or not soon enough.
    """
    missing = needs()
    if missing:
        raise ReportRefused(missing)
    from plotly.offline import get_plotlyjs  # an extra

    from bigbrotr_dagster.archive.report.plots import plots

    facts = gather(database_url, config, now=now)
    drawn = dict(plots(facts))
    text = page(facts, drawn, get_plotlyjs())
    target = (path or default_path()).absolute()
    try:
        make_private_folder(target.parent)
        write_whole(target, text)
    except OSError as error:
        raise ReportRefused(f"{target}: {error.strerror or error}") from error
    return Report(target, target.stat().st_size, len(drawn), facts)

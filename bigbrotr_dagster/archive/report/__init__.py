"""The archive as a page of plots: one HTML file that opens in any browser, without network.

- `run`: makes it, and puts it in its place. `facts`: the numbers, at a cost that does not grow with the archive.
- `plots`: plotly's, as JSON (an extra); `figure`: what they share.
- `page`: the HTML around them; `look`: its style, and what draws them.

Nothing here changes the archive. Start reading at `run`.
"""

from bigbrotr_dagster.archive.report.errors import ReportRefused
from bigbrotr_dagster.archive.report.run import Report, default_path, needs, write_report

__all__ = ["Report", "ReportRefused", "default_path", "needs", "write_report"]

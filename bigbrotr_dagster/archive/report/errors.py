"""What ends a report."""

from bigbrotr_dagster.errors import CannotGoOn


class ReportRefused(CannotGoOn):
    """The report cannot be made, and the message says why; an older one stays."""

"""What ends an export."""

from bigbrotr_dagster.errors import CannotGoOn


class ExportRefused(CannotGoOn):
    """The data set cannot be written, and the message says why; what was written before stays."""


class PlaceInUse(ExportRefused):
    """Another export writes to it."""


class DayRefused(ExportRefused):
    """What the archive holds of a day does not fit the columns; others may be written."""

"""The storage class under the name that every dagster.yaml in the field gives it, so it has to stay here."""

from bigbrotr_dagster.defs.instance.storage import ArchiveStorage

__all__ = ["ArchiveStorage"]

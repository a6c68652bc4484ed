"""Dagster's log of events, which keeps the partitions as well: nobody breaks a backfill here by deleting some.

Dagster fails a whole backfill once one of its partitions is missing, and looks every five seconds. So what an
open backfill names stays when somebody deletes it in the UI: its relay is unregistered at once, by which the runs
of the backfill pass it over, and the sensor `relay_partitions` removes the partition after the backfill.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from dagster_postgres import PostgresEventLogStorage

from bigbrotr_dagster.archive.registry import remove_relays
from bigbrotr_dagster.defs.instance.partition_events import open_backfill_partitions
from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL

_at_once: ContextVar[bool] = ContextVar("delete_at_once", default=False)


class ArchiveEventLog(PostgresEventLogStorage):
    """`archive_url` is the archive's whose relays are the partitions."""

    archive_url = ""

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a partition; one of a relay that an open backfill names is unregistered, and deleted later.

        Raises:
            DatabaseUnavailable: the archive does not answer; nothing is deleted then.
        """
        is_relay = partitions_def_name == "relay" and self.has_instance and not _at_once.get()
        if is_relay and partition_key in open_backfill_partitions(self._instance):
            with suppress(InvalidRelayURL):  # the sensor removes it, as it does any key that is no relay's
                remove_relays(self.archive_url, [partition_key])
            return
        super().delete_dynamic_partition(partitions_def_name, partition_key)


@contextmanager
def deleting_at_once() -> Iterator[None]:
    """Within it, what is deleted is deleted: whoever enters it knows that nothing waits for it."""
    token = _at_once.set(True)
    try:
        yield
    finally:
        _at_once.reset(token)

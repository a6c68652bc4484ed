"""What a sync did: per relay, and in all. The JSON is a contract (README, "Command line")."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from bigbrotr_dagster.storage.ingest import Cursor
from bigbrotr_dagster.windowing.tasks import Gap

REJECTIONS = ("malformed", "bad_id", "bad_signature", "off_filter", "too_large")
"""Reasons that a report always names, with 0 where there were none."""

LEFT_OUT_NAMED = 100
"""Of the relays that were left out, so many are named."""


@dataclass(frozen=True, slots=True)
class RelayReport:
    """One relay's sync. `lag_seconds` and `cursor` are None while nothing is proved from `since` on.

    `gaps_before` is the number of open gaps when the sync began; None if it did not begin.
    """

    url: str
    network: str
    ok: bool
    error: str | None = None
    busy: bool = False
    """Not tried, for another process was syncing this relay: neither ok nor failed."""
    skipped: bool = False
    """Not tried, for the configuration says so: its network is switched off. Counts as failed."""
    stopped_by: str | None = None
    """The bound that left the rest for another run, where one did."""
    events_received: int = 0
    events_new: int = 0
    events_known: int = 0
    events_rejected: dict[str, int] = field(default_factory=dict)
    observations_new: int = 0
    late_events: int = 0
    """New ones among seconds that had been proved complete: the relay's drift."""
    late_by: dict[str, int] = field(default_factory=dict)
    """Of these, by their age when they were found, at most: hour, day, week, month, year, more."""
    events_claimed: int = 0
    """Of `events_known`, those that were not sent: the relay says that it holds them (NIP-77)."""
    events_gone: int = 0
    """Events that the relay was seen with, and holds no more."""
    proved_by: str = "paged"
    """How it is known that nothing is missing of what had been proved: "reconciled" (NIP-77) or "paged"."""
    transfers_per_event: float | None = None
    """Events that the relay sent in the last day for each that was new of it, this sync among it; None without."""
    requests: int = 0
    bytes_received: int = 0
    cursor: Cursor | None = None
    lag_seconds: int | None = None
    pending_seconds: int = 0
    gaps: Sequence[Gap] = ()
    without_kinds: Sequence[int] = ()
    """Kinds that the relay keeps from us: what is covered is covered without them."""
    gaps_before: int | None = None
    went_well_before: bool = False
    """Whether the sync before this one succeeded."""
    seconds: float = 0.0

    def to_json_dict(self) -> dict[str, Any]:
        """The report as `sync --json` prints it; times in seconds, the cursor in Unix time."""
        cursor = self.cursor and {"timestamp": self.cursor.timestamp, "id": self.cursor.id}
        return {
            "url": self.url,
            "ok": self.ok,
            "busy": self.busy,
            "error": self.error,
            "stopped_by": self.stopped_by,
            "events_received": self.events_received,
            "events_new": self.events_new,
            "late_events": self.late_events,
            "late_by": self.late_by,
            "events_claimed": self.events_claimed,
            "events_gone": self.events_gone,
            "proved_by": self.proved_by,
            "transfers_per_event": self.transfers_per_event,
            "requests": self.requests,
            "cursor": cursor,
            "gaps": [
                {
                    "since": gap.interval.since,
                    "until": gap.interval.until,
                    "reason": str(gap),
                    "held": gap.held,
                    "missing": gap.missing,
                }
                for gap in self.gaps
            ],
            "without_kinds": list(self.without_kinds),
            "pending_seconds": self.pending_seconds,
            "seconds": round(self.seconds, 3),
        }


OnReport = Callable[[RelayReport], None]


@dataclass(slots=True)
class CycleReport:
    """One sync of any number of relays; `seconds` is wall time."""

    relays: list[RelayReport] = field(default_factory=list)
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)
    """The URLs of those that were to be synced, and were not begun."""

    @property
    def asked(self) -> int:
        """How many relays were to be synced."""
        return len(self.relays) + len(self.left_out)

    @property
    def failed(self) -> list[RelayReport]:
        """Of the relays that were tried those whose sync ended with an error."""
        return [report for report in self.relays if not report.ok and not report.busy]

    @property
    def busy(self) -> list[RelayReport]:
        """Relays that another process was syncing."""
        return [report for report in self.relays if report.busy]

    def to_json_dict(self) -> dict[str, Any]:
        """The report as `sync --json` prints it: the sums, and each relay's."""
        rejected = Counter(dict.fromkeys(REJECTIONS, 0))
        for report in self.relays:
            rejected.update(report.events_rejected)
        total = {
            name: sum(getattr(report, name) for report in self.relays)
            for name in ("events_received", "events_new", "events_known", "observations_new", "requests")
        }
        return {
            "relays": self.asked,
            "relays_ok": len(self.relays) - len(self.failed) - len(self.busy),
            "relays_failed": len(self.failed),
            "relays_busy": len(self.busy),
            "relays_left_out": len(self.left_out),
            "left_out": self.left_out[:LEFT_OUT_NAMED],
            "events_received": total["events_received"],
            "events_new": total["events_new"],
            "events_known": total["events_known"],
            "events_rejected": dict(rejected),
            "observations_new": total["observations_new"],
            "requests": total["requests"],
            "bytes_received": sum(report.bytes_received for report in self.relays),
            "gaps": sum(len(report.gaps) for report in self.relays),
            "seconds": round(self.seconds, 3),
            "per_relay": [report.to_json_dict() for report in self.relays],
        }


@dataclass(slots=True)
class Progress:
    """Running totals of the cycle under way, for whoever wants to show them."""

    relays: int = 0
    relays_done: int = 0
    events_received: int = 0
    report: CycleReport | None = None


watched: ContextVar[Progress | None] = ContextVar("watched", default=None)
"""The progress of the cycles that begin in this context: Dagster stands between them and who shows it."""

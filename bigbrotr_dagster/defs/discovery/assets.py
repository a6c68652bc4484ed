"""Two assets: what is named as a relay, and what of it is one."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import dagster as dg

from bigbrotr_dagster.defs.graph import OWNERS, as_text, asset_key
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer, run_interruptibly
from bigbrotr_dagster.discovery.candidates import list_candidates
from bigbrotr_dagster.discovery.scan import ScanReport, scan
from bigbrotr_dagster.discovery.validation import ValidationReport, validate

RELAY_CANDIDATES, RELAY_VALIDATED = asset_key("relay_candidates"), asset_key("relay_validated")
NETWORKS_REACHABLE = "networks_reachable"
MOST_SHOWN = 20


@dg.asset(
    key=RELAY_CANDIDATES,
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"bigbrotr/layer": "discovery"},
    metadata={
        "dagster/table_name": "relay_candidate",
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn("url", "text", description="Normal form."),
                dg.TableColumn("network", "text", description="clearnet, tor, i2p, loki or local."),
                dg.TableColumn("source", "text", description="Who named it first: event, monitor, file, api, …"),
                dg.TableColumn("first_event", "bytea", description="The event that named it first."),
                dg.TableColumn("mentions", "bigint", description="Events that name it."),
                dg.TableColumn("named_by", "bigint[]", description="Their authors, 64 at most."),
                dg.TableColumn("failures", "integer", description="Tries in a row that failed."),
                dg.TableColumn("reason", "text", description="Why the last one did."),
                dg.TableColumn("next_try", "timestamptz"),
                dg.TableColumn("promoted_at", "timestamptz", description="When it became a relay."),
            ]
        ),
    },
)
def relay_candidates(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.MaterializeResult:
    """Relay URLs that archived events name, and the configured lists; each event is looked at once, as it arrived.

    What many authors name is tried first. The events come from `relay_cursor`: the loop closes in the database.
    """
    url = database.ready()
    return dg.MaterializeResult(metadata=_scan_metadata(scan(url, synchronizer.config()), url))


@dg.asset(
    key=RELAY_VALIDATED,
    deps=[relay_candidates],
    group_name="archive",
    owners=OWNERS,
    kinds={"postgres", "websocket"},
    tags={"bigbrotr/layer": "discovery"},
    check_specs=[
        dg.AssetCheckSpec(
            NETWORKS_REACHABLE,
            asset=RELAY_VALIDATED,
            description="Of each network some relay can be reached: else our own line, or proxy, is down.",
        )
    ],
    metadata={
        "dagster/table_name": "relay",
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn("url", "text"),
                dg.TableColumn("network", "text"),
                dg.TableColumn("discovered_at", "bigint", description="Unix time of the registration."),
            ]
        ),
    },
)
def relay_validated(database: ArchiveDatabase, synchronizer: Synchronizer) -> Iterator[dg.MaterializeResult]:
    """Candidates that speak Nostr become relays; the others wait, an hour at first and a week in the end.

    A candidate is asked for one event: it has to answer as NIP-01 has it. `discovery.max_new_per_day` bounds how
    many become relays, and each gets its partition within half a minute.
    """
    report = run_interruptibly(validate(database.ready(), synchronizer.config()))
    down = sorted(report.networks_down)
    yield dg.MaterializeResult(
        metadata=_validation_metadata(report),
        data_version=dg.DataVersion(_version(report)),
        check_results=[
            dg.AssetCheckResult(
                check_name=NETWORKS_REACHABLE,
                passed=not down,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"no relay that was alive can be reached: {', '.join(down)}" if down else None,
            )
        ],
    )


def _version(report: ValidationReport) -> str:
    """What is downstream is as fresh as it was, where no relay was found."""
    found = "\n".join(report.validated)
    return sha256(found.encode()).hexdigest()[:16]


def _scan_metadata(report: ScanReport, url: str) -> dict[str, Any]:
    """Numbers that the UI plots, and the most promising of those that wait."""
    columns = [dg.TableColumn("url"), dg.TableColumn("mentions", "int"), dg.TableColumn("authors", "int")]
    rows = [
        dg.TableRecord({"url": as_text(one.url), "mentions": one.mentions, "authors": one.authors})
        for one in list_candidates(url, most=MOST_SHOWN)
    ]
    return {
        "events_scanned": report.scanned,
        "events_unread": report.unread,
        "candidates_new": report.candidates_new,
        "candidates_forgotten": report.forgotten,
        "texts_refused": report.refused.total(),
        "refused_by_reason": dg.MetadataValue.json(dict(report.refused)),
        "most_promising": dg.MetadataValue.table(rows, dg.TableSchema(columns)),
        "seconds": round(report.seconds, 3),
    }


def _validation_metadata(report: ValidationReport) -> dict[str, Any]:
    return {
        "tried": report.tried,
        "validated": len(report.validated),
        "failed": report.failed.total(),
        "failed_by_reason": dg.MetadataValue.json(dict(report.failed)),
        "waiting": report.waiting,
        "new_relays": dg.MetadataValue.json(report.validated[:MOST_SHOWN]),
        "left_today": report.left_today,
        "seconds": round(report.seconds, 3),
    }

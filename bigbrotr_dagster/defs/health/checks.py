"""What is judged of relays' health: of each relay on its own partition, and of each network's as a whole."""

import time
from collections.abc import Sequence

import dagster as dg

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.defs.archive import evaluation
from bigbrotr_dagster.defs.graph import RELAY_HEALTH, as_text
from bigbrotr_dagster.defs.instance.partition_events import RunContext, log_for_all
from bigbrotr_dagster.defs.runs import ArchiveDatabase, Synchronizer
from bigbrotr_dagster.discovery.health import KnownHealth, RelayHealth, health_of_all, network_health

CERTIFICATE_EXPIRES = "certificate_expires"
RELAY_DEAD = "relay_dead"
ALIVE_BY_NETWORK = "alive_by_network"

LEAST_SHARE = 0.5
"""Alive among those that have not been dead for long: where fewer are, something of ours may be wrong."""

DAY = 86_400

Health = RelayHealth | KnownHealth

CHECK_SPECS: Sequence[dg.AssetCheckSpec] = [
    dg.AssetCheckSpec(
        CERTIFICATE_EXPIRES,
        asset=RELAY_HEALTH,
        description=(
            "The relay's TLS certificate is good for more than `monitor.certificate_days`. It is evaluated while "
            "it is not, and once when it is again; in a run of partitions, for each relay that has a certificate; "
            "after a run for all relays: half of them are well."
        ),
    ),
    dg.AssetCheckSpec(
        RELAY_DEAD,
        asset=RELAY_HEALTH,
        description=(
            "The relay has answered within `monitor.dead_days`. It is evaluated while it has not, and once when "
            "it does again; in a run of partitions, always; after a run for all relays: half of them are well."
        ),
    ),
]


@dg.asset_check(asset=RELAY_HEALTH, name=ALIVE_BY_NETWORK, blocking=False)
def alive_by_network(database: ArchiveDatabase, synchronizer: Synchronizer) -> dg.AssetCheckResult:
    """Half of each network's relays answer, not counting those that have been dead for `monitor.dead_days`.

    Every run of checks evaluates it at its end.
    """
    return _judge_networks(database.ready(), synchronizer.config())


def record_checks(context: RunContext, database_url: str, options: SynchronizerConfig) -> None:
    """Evaluate the checks over all relays in a run; their own steps are skipped, for it yields no asset."""
    found = health_of_all(database_url, options)
    dead = f"{found.dead_long:,} of {found.checked:,} have not answered for {options.monitor.dead_days:g} days"
    ending = (
        f"the certificates of {found.expiring:,} of {found.with_certificate:,} end within "
        f"{options.monitor.certificate_days:g} days"
    )
    for name, result in (
        (RELAY_DEAD, _of_all(found.dead_long, found.checked, dead)),
        (CERTIFICATE_EXPIRES, _of_all(found.expiring, found.with_certificate, ending)),
        (ALIVE_BY_NETWORK, _judge_networks(database_url, options)),
    ):
        log_for_all(context, evaluation(RELAY_HEALTH, name, result))


def _of_all(bad: int, relays: int, said: str) -> dg.AssetCheckResult:
    """Some relays are always dead, and each tells so itself: of all it passes while half of them are well."""
    return dg.AssetCheckResult(
        passed=relays - bad >= LEAST_SHARE * relays,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"of all relays: {said}" if bad else None,
        metadata={"relays": relays, "relays_failing": bad},
    )


def _judge_networks(database_url: str, options: SynchronizerConfig) -> dg.AssetCheckResult:
    metadata: dict[str, float | int] = {}
    few = []
    for one in network_health(database_url, options):
        metadata |= {f"checked_{one.network}": one.checked, f"alive_{one.network}": one.alive}
        metadata[f"alive_share_{one.network}"] = round(one.alive / one.checked, 4)
        lately = one.checked - one.dead_long
        if lately and one.alive < LEAST_SHARE * lately:
            few.append(f"{one.alive} of {lately} relays of {one.network} answer")
    return dg.AssetCheckResult(
        passed=not few, severity=dg.AssetCheckSeverity.WARN, description="; ".join(few) or None, metadata=metadata
    )


def expires_soon(health: Health, options: SynchronizerConfig) -> bool:
    """Whether the relay's certificate ends within `certificate_days`, or has ended."""
    expires = health.certificate_expires_at
    return expires is not None and expires - time.time() <= options.monitor.certificate_days * DAY


def is_dead(health: Health, options: SynchronizerConfig) -> bool:
    """Whether the relay has not answered for `dead_days`."""
    since = health.dead_since
    return since is not None and time.time() - since >= options.monitor.dead_days * DAY


def certificate_check(health: RelayHealth, options: SynchronizerConfig) -> dg.AssetCheckEvaluation:
    """The evaluation for the partition of a relay that has a certificate."""
    days = ((health.certificate_expires_at or 0) - time.time()) / DAY
    said = (
        f"the certificate ends in {days:.1f} days" if days > 0 else f"the certificate ended {-days:.1f} days ago"
    )
    return _of_relay(health, CERTIFICATE_EXPIRES, expires_soon(health, options), said, {"days": round(days, 2)})


def dead_check(health: RelayHealth, options: SynchronizerConfig) -> dg.AssetCheckEvaluation:
    """The evaluation for a relay's partition."""
    days = 0.0 if health.dead_since is None else max(0.0, (time.time() - health.dead_since) / DAY)
    said = f"no answer for {days:.1f} days: {as_text(health.reason or 'no reason is known')}"
    return _of_relay(health, RELAY_DEAD, is_dead(health, options), said, {"dead_days": round(days, 2)})


def _of_relay(
    health: RelayHealth, name: str, is_bad: bool, said: str, metadata: dict[str, float]
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=RELAY_HEALTH,
        check_name=name,
        passed=not is_bad,
        severity=dg.AssetCheckSeverity.WARN,
        description=said if is_bad else None,
        metadata=metadata,
        partition=health.url,
    )

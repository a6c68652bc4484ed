"""The configuration: every option, its default, its unit and its effect.

The names are BigBrotr's, so that an operator's `synchronizer.yaml` loads as it stands.
"""

import re
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, PrivateAttr, field_validator, model_validator

from bigbrotr_dagster.config.discovery import DiscoveryConfig
from bigbrotr_dagster.config.export import ExportConfig
from bigbrotr_dagster.config.leave_out import LeaveOutConfig
from bigbrotr_dagster.config.monitor import MonitorConfig
from bigbrotr_dagster.config.section import Options, Seconds
from bigbrotr_dagster.nostr.filter import Filter
from bigbrotr_dagster.nostr.relay_url import Network

Timestamp = Annotated[int, Field(ge=0)]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRIVATE_KEY = re.compile(r"[0-9a-fA-F]{64}|nsec1.*")

MAX_PER_HOST = 4
"""Relays of one host at once: more than any well-meant host needs, and few beside 25 slots."""


class NetworkConfig(Options):
    """How the relays of one network are reached."""

    enabled: bool = True
    proxy_url: str | None = None
    """SOCKS5 proxy, socks5://host:port. It resolves the names. Not used for clearnet."""
    max_tasks: int = Field(default=25, ge=1, le=1000)
    """Relays in flight at once, over all runs and processes."""
    max_per_host: int | None = Field(default=None, ge=1, le=1000)
    """As `max_tasks`, of those that share a host, or an address (IPv6: a /48); null: 4, and at most half of it."""
    timeout: float = Field(default=10.0, ge=0.1, le=600)
    """Seconds to look up the name, to connect, and of silence that end a request."""
    run_tags: dict[str, JsonValue] = Field(default={})
    """Tags of Dagster's that schedules and sensors give to this network's runs: they tell run launchers what a run
    needs (`dagster-k8s/config`), or where it belongs (`dagster-celery/queue`)."""

    @property
    def most_per_host(self) -> int:
        """`max_per_host`; by itself no host has all slots."""
        return self.max_per_host or max(1, min(MAX_PER_HOST, self.max_tasks // 2))


class NetworksConfig(Options):
    """The networks. Relays on private addresses run as clearnet, where `allow_private` lets them."""

    clearnet: NetworkConfig = NetworkConfig()
    tor: NetworkConfig = NetworkConfig(enabled=False, proxy_url="socks5://tor:9050", max_tasks=5, timeout=30.0)
    i2p: NetworkConfig = NetworkConfig(enabled=False, proxy_url="socks5://i2p:4447", max_tasks=5, timeout=45.0)
    loki: NetworkConfig = NetworkConfig(
        enabled=False, proxy_url="socks5://lokinet:1080", max_tasks=5, timeout=30.0
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, given: Any) -> Any:
        """A network of which some options are given keeps its own defaults for the others."""
        if not isinstance(given, dict):
            return given
        kept = {}
        for name, options in given.items():
            field = cls.model_fields.get(name)
            if field is not None and isinstance(options, dict):
                kept[name] = field.default.model_dump() | options
            else:
                kept[name] = options
        return kept

    def get(self, network: str) -> NetworkConfig | None:
        """The options that apply to a network; None for one that cannot be reached."""
        name = run_network(network)
        return getattr(self, name) if name in type(self).model_fields else None

    def enabled(self) -> list[str]:
        """The names of the enabled networks."""
        return [name for name in type(self).model_fields if getattr(self, name).enabled]


def run_network(network: str) -> str:
    """The network whose caps a relay falls under: its own, or clearnet for private addresses."""
    return Network.CLEARNET.value if network == Network.LOCAL else str(network)


class ProcessingConfig(Options):
    """What is asked of each relay."""

    filters: list[dict[str, Any]] = Field(default=[{}], min_length=1)
    """NIP-01 filters. Each is a walk of its own; `limit` in a filter is ignored."""
    leave_out: list[LeaveOutConfig] = Field(default=[])
    """Events that are not stored though a filter lets them through: those that match one of these."""
    since: Timestamp = 0
    """First second of the archive (Unix time)."""
    until: Timestamp | None = None
    """Last second; null is now."""
    limit: int = Field(default=500, ge=1, le=10_000)
    """`limit` of a REQ, in events."""
    end_lag: Seconds = 60
    """A sync ends this many seconds before `until`, so that the newest events have arrived."""
    lookback: Seconds = 86_400
    """Of the ages up to a day at which seconds are read again (17 minutes, 2.3 hours, 18 hours), those of at most
    so many seconds are kept; 0: none. Later ages (6 days, 48 days, ...) are kept in any case."""
    trust_claims: bool = True
    """Take a relay's word (NIP-77) that it holds an event which is stored already; false: it has to send it."""
    batch_size: int = Field(default=1000, ge=1, le=100_000)
    """Events in one transaction."""
    flush_interval: int = Field(default=50, ge=1)
    """Relays in one transaction."""
    allow_insecure: bool = False
    """Go on without TLS verification where a relay's certificate is not trusted."""
    max_event_size: int | None = Field(default=2**20, ge=1024)
    """Bytes of JSON; a longer event is quarantined. Follow lists pass 512 KiB, and few relays take as much. null
    is no such bound; longer messages than 2 MiB end the connection in any case."""
    max_relay_events: int | None = Field(default=2_000_000, ge=1)
    """Events that a run takes from one relay; the next run goes on with the rest. null: no such bound."""
    max_relay_bytes: int | None = Field(default=2 * 2**30, ge=1024)
    """As `max_relay_events`, in bytes of what the relay sends."""

    @field_validator("filters")
    @classmethod
    def _are_filters(cls, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for given in filters:
            Filter.from_dict(given)
        return filters

    def asked(self, given: dict[str, Any]) -> Filter:
        """One of the `filters`, with what is left out of it."""
        return Filter.from_dict(given).leaving_out(one.rule() for one in self.leave_out)


class TimeoutsConfig(Options):
    """Seconds after which something is given up. Nothing is lost: what was not reached stays pending."""

    idle: Seconds = 300.0
    """A relay that brings nothing new for so long is given up for this run."""
    clearnet: Seconds = 1800.0
    """As `idle`, for one network: the shorter one counts."""
    tor: Seconds = 3600.0
    i2p: Seconds = 3600.0
    loki: Seconds = 3600.0
    max_relay_duration: Seconds | None = 600.0
    """A run leaves a relay after so long, whatever progress it makes: others wait. null: no such bound."""
    max_duration: Seconds | None = 14_400.0
    """A whole cycle; null is unlimited."""

    def without_progress(self, network: str) -> float:
        """Seconds that a relay of this network may go without bringing anything."""
        return min(self.idle, float(getattr(self, run_network(network), self.idle)))


class KeysConfig(Options):
    """The key that answers NIP-42 challenges."""

    keys_env: str = "NOSTR_PRIVATE_KEY"
    """Environment variable with the private key (hex or nsec). Unset: challenges are not answered."""

    @field_validator("keys_env")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        """A key that was put here by mistake must not be shown by whoever shows the name of the variable."""
        if not _VARIABLE.fullmatch(name) or _PRIVATE_KEY.fullmatch(name):
            raise ValueError("the name of an environment variable is expected, not the key itself")
        return name


FLAT_NAMES = {
    **dict.fromkeys(
        ("filters", "since", "until", "limit", "end_lag", "lookback", "batch_size", "flush_interval"), "processing"
    ),
    **dict.fromkeys(("allow_insecure", "max_event_size"), "processing"),
    "max_duration": "timeouts",
}
"""BigBrotr's older flat names, and the section that each belongs to."""


class SynchronizerConfig(Options):
    """All options. BigBrotr's older flat names (`limit`, `flush_interval`, `max_duration`, …) are taken too."""

    interval: float = Field(default=300.0, ge=1, le=604_800)
    """Seconds between the starts of two syncs of a relay."""
    networks: NetworksConfig = NetworksConfig()
    processing: ProcessingConfig = ProcessingConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    keys: KeysConfig = KeysConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    monitor: MonitorConfig = MonitorConfig()
    export: ExportConfig = ExportConfig()
    allow_private: bool = False
    """Let relays be on private, loopback and link-local addresses."""
    partitions_per_run: int = Field(default=200, ge=1, le=10_000)
    """Relays that one scheduled run syncs."""
    runs_per_tick: int = Field(default=2, ge=1, le=100)
    """Runs that a tick starts for one network; where more relays are due than they hold, each takes more. A run
    costs three seconds of CPU by itself."""
    failed_share: float = Field(default=0.5, ge=0, le=1)
    """A scheduled run fails when more than this share of its relays failed."""
    dead_run_seconds: float = Field(default=120.0, ge=1, le=86_400)
    """Seconds without a sign of life after which a run ends whose process cannot be seen from the daemon's host. A
    run that cannot reach PostgreSQL for so long has given up by itself."""
    stats_interval: Seconds = 600.0
    """Seconds between two looks at the archive's size, which follow a sync."""
    history_days: float | None = Field(default=7.0, ge=1)
    """Days that Dagster's events and runs of ours are kept; the newest of each relay stay. null: for ever."""
    failure_webhook: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Address that gets a POST of JSON when a run fails; BIGBROTR_FAILURE_WEBHOOK goes before it."""
    _configured: ProcessingConfig | None = PrivateAttr(default=None)
    """What `with_overrides` changed for one run, as it was before."""

    @property
    def monitors(self) -> bool:
        """Whether the daemon checks how relays are."""
        return self.discovery.enabled if self.monitor.enabled is None else self.monitor.enabled

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, given: Any) -> Any:
        """Move BigBrotr's flat names to where they belong."""
        if not isinstance(given, dict):
            return given
        nested = {key: value for key, value in given.items() if key not in FLAT_NAMES}
        for key, section in FLAT_NAMES.items():
            if key not in given:
                continue
            options = nested.get(section) or {}
            if isinstance(options, dict):
                if key in options:
                    raise ValueError(f"{key} and {section}.{key} are both given")
                nested[section] = options | {key: given[key]}
        return nested

    def with_overrides(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        filters: list[dict[str, Any]] | None = None,
        allow_private: bool | None = None,
    ) -> Self:
        """A copy with other values for one run; None keeps the configured one.

        Raises:
            pydantic.ValidationError: a value that the option does not allow.
        """
        processing = {"since": since, "until": until, "filters": filters}
        changed = self.model_dump()
        changed["processing"] |= {key: value for key, value in processing.items() if value is not None}
        if allow_private is not None:
            changed["allow_private"] = allow_private
        copy = type(self).model_validate(changed)
        copy._configured = self._configured or (self.processing if copy.processing != self.processing else None)
        return copy

    def as_configured(self) -> Self:
        """A copy that asks of relays what the archive is configured for, whatever this run was told instead."""
        return self if self._configured is None else self.model_copy(update={"processing": self._configured})


def reachable_networks(config: SynchronizerConfig) -> list[str]:
    """The values of `relay.network` that the configuration lets us reach."""
    return config.networks.enabled() + ([Network.LOCAL.value] if config.allow_private else [])

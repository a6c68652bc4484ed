"""What a cycle has to do: the relays of each network, in order."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bigbrotr_dagster.nostr.relay_url import InvalidRelayURL, Network, RelayURL, parse_relay_url
from bigbrotr_dagster.sync.config import SynchronizerConfig, run_network
from bigbrotr_dagster.sync.report import OnReport, RelayReport


@dataclass(slots=True)
class RelayQueue:
    """A network's relays that are left; those that another process was syncing come once more, last."""

    untried: deque[RelayURL] = field(default_factory=deque)
    busy: deque[RelayURL] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self.untried or self.busy)


def by_network(urls: Iterable[str], config: SynchronizerConfig, done: OnReport) -> dict[str, RelayQueue]:
    """The relays that can be tried; `done` gets a report on each of the others."""
    queues: dict[str, RelayQueue] = {}
    for url in urls:
        try:
            relay = parse_relay_url(url)
        except InvalidRelayURL as error:
            done(RelayReport(url, Network.UNKNOWN.value, ok=False, error=str(error)))
            continue
        options = config.networks.get(relay.network)
        is_local = relay.network is Network.LOCAL  # runs under the options of clearnet, whether that is on or off
        if options is None:
            problem = "not a public name, nor one of a known network"
        elif is_local and not config.allow_private:
            problem = "private address; allow_private is not set"
        elif not is_local and not options.enabled:
            problem = f"network {relay.network} is not enabled"
        else:
            queues.setdefault(run_network(relay.network), RelayQueue()).untried.append(relay)
            continue
        skipped = options is not None
        done(RelayReport(relay.url, relay.network.value, ok=False, error=problem, skipped=skipped))
    return queues


def askable(urls: Iterable[str], config: SynchronizerConfig) -> list[str]:
    """The relays that the configuration lets us try."""
    queues = by_network(urls, config, lambda report: None)
    return [relay.url for queue in queues.values() for relay in queue.untried]

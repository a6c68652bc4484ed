"""What one relay may take of a run: time, bytes, events. A relay with an endless history is polite, and hungry."""

import time

from bigbrotr_dagster.config import SynchronizerConfig
from bigbrotr_dagster.sync.asking import Traffic


class Budget:
    """Begins when it is made; `deadline` is the cycle's, in `time.monotonic()`'s seconds."""

    def __init__(self, config: SynchronizerConfig, deadline: float | None) -> None:
        self._longest = config.timeouts.max_relay_duration
        self._most_events = config.processing.max_relay_events
        self._most_bytes = config.processing.max_relay_bytes
        self._longest_cycle = config.timeouts.max_duration
        self._deadline = deadline
        self._began = time.monotonic()

    def used_up(self, traffic: Traffic, share: float = 1.0) -> str | None:
        """The option whose value, or this share of it, is used up, or the end of the cycle; None before that."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            return f"max_duration ({self._longest_cycle:g} s)"
        if self._longest is not None and now - self._began >= share * self._longest:
            return f"max_relay_duration ({self._longest:g} s)"
        if self._most_events is not None and traffic.events_received >= share * self._most_events:
            return f"max_relay_events ({self._most_events})"
        if self._most_bytes is not None and traffic.bytes_received >= share * self._most_bytes:
            return f"max_relay_bytes ({self._most_bytes})"
        return None

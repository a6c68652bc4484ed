"""An archive of Nostr as a Dagster asset graph: one partition per relay, one promise per second."""

__version__ = "0.1.0"

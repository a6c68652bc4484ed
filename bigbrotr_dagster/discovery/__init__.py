"""Where relays come from, and how they are: candidates, validation, health.

`mentions` reads relay URLs in an event (pure), `lists` asks HTTP addresses for some, `candidates` keeps what is
named, `scan` looks through the archive; `validation` tries candidates (`probe`) and registers those that speak
Nostr, `health` looks after these. Everything that a stranger's event can cause is bounded here: per author, host
and day. What Dagster shows of it belongs into `defs`. Start reading at `scan`.
"""

__all__ = ["candidates", "due", "health", "scan", "validation"]

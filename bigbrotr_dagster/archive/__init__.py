"""What operators and assets ask of the archive: short, blocking work, a module for each question.

- `registry`: which relays are archived, and which of them Dagster has partitions of.
- `turns`: whose turn it is, who has had it, and how they fared.
- `proof`: what is proved of a relay, and how to take it back.
- `coverage`: how much is covered, pending or a gap, over all relays (`columns`: in days, weeks, months).
- `stats`: how much there is. `soundness`: whether it is what it should be. `metrics`: both, for a monitor, and
  under BigBrotr's names (`service_metrics`).
- `quarantine`: what was rejected, and the way out of it.
- `retention`: what is left out by choice, though it was stored. `export`: days of it as Parquet files.
- `report`: all of it as a page of plots.
- `synchronizer`: all of a sync as an object, for programs of others.

Each function takes the database's URL, opens one short session (`storage.sessions`), and raises
DatabaseUnavailable when it does not answer. What needs a relay's socket belongs into `sync`, what needs Dagster
into `defs`. Start reading at `registry`, which is the plainest; `proof` and `coverage` hold the promise.
"""

__all__ = [
    "coverage",
    "export",
    "metrics",
    "proof",
    "quarantine",
    "registry",
    "report",
    "retention",
    "soundness",
    "stats",
    "synchronizer",
    "turns",
]

"""The graph: everything of Dagster's, a folder for each concept.

From the ground up: `settings` (how it stands in a project), `instance` (Dagster's own home and storage, made
ours), `graph` (names, partitions, texts that all parts share), `runs` (a run's life, and what it is given),
`archive` (assets and checks on the archive as a whole), `data_sets` and `report` (what comes out of it: files, and
a page of plots), `discovery` (where relays come from), `relays` (assets and checks on single relays), `health`
(how these are), `automation` (jobs, schedules, sensors: what starts runs, and what follows them).
`definitions.py`, beside this folder, lists what Dagster loads; `component.py` gives it to a project.

What can be asked without Dagster belongs into `archive` or `sync`, one floor down. Nothing here imports Dagster
before it is needed: `cli` uses `instance`, and Dagster takes seconds to import. Start reading at `relays`.
"""

__all__ = [
    "archive",
    "automation",
    "data_sets",
    "discovery",
    "graph",
    "health",
    "instance",
    "relays",
    "report",
    "runs",
    "settings",
]

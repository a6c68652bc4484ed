"""The command line: `bigbrotr-dagster`, a module for each group of commands.

`program` is all of it, and says how errors become one line and an exit code. `common` has what commands share,
and `logs` is how they speak; `ui`, `sync`, `relays`, `discovery`, `proof`, `operations`, `export`, `sql`,
`report`, `config` and `database` are the groups. `foreground`, `progress_line`, `metrics_server`, `data_set`,
`webserver` (behind `web_guard`) and the folder `dev` do what takes more than a line.

Commands check what they are given, and call a room: nothing that an asset could need belongs here. Start reading
at `program`.
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, and prints one line where something is wrong."""
    # Imported here, because the guardian of `dev` is a module of this room, and needs none of all that.
    from bigbrotr_dagster.cli.program import run

    return run(arguments)

"""The command that deletes what is left out by choice."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from bigbrotr_dagster.archive.retention import count_left_out, delete_left_out
from bigbrotr_dagster.cli.common import archive_to_read, config_option, ready_database
from bigbrotr_dagster.config import load_config


@click.command()
@click.option("--delete", "deletes", is_flag=True, help="Delete them; without it they are only counted.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def retention(deletes: bool, config_path: Path | None, as_json: bool) -> None:
    """Count, or delete, the stored events that the option processing.leave_out leaves out."""
    options = load_config(config_path).processing
    found = delete_left_out(ready_database(), options) if deletes else count_left_out(archive_to_read(), options)
    rules = []
    for one in found:
        rules.append({"rule": one.rule.to_dict()} | {k: v for k, v in asdict(one).items() if k != "rule"})
        if not as_json:
            what = "deleted" if deletes else "would be deleted"
            counts = f"{one.events} events\t{one.observations} observations\t{one.bytes} bytes"
            print(f"{json.dumps(one.rule.to_dict())}\t{counts}\t{what}", flush=True)
    if not rules and not as_json:
        print("nothing is left out: the option processing.leave_out has no rule")
    if as_json:
        print(json.dumps({"deleted": deletes, "rules": rules}))

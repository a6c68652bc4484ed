"""Commands on the configuration: what holds and why, and what is wrong with a file."""

import json
import os
from pathlib import Path

import click

from bigbrotr_dagster.cli.common import config_option
from bigbrotr_dagster.cli.logs import complain
from bigbrotr_dagster.config.inspection import DEFAULT, Setting, check_file, effective, json_schema
from bigbrotr_dagster.config.variables import CONFIG_VARIABLE
from bigbrotr_dagster.storage.address import VARIABLE as DATABASE_VARIABLE
from bigbrotr_dagster.storage.address import data_dir, shown


@click.group()
def config() -> None:
    """The configuration: what holds, and what is wrong with a file."""


@config.command("show")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def config_show(config_path: Path | None, as_json: bool) -> None:
    """Print every option with its value and where that comes from. Secrets are shown as ***."""
    options = effective(config_path)
    variables = _variables(config_path, next(one.value for one in options if one.name == "keys.keys_env"))
    if as_json:
        groups = {"options": options, "environment": variables}
        said = {
            group: {one.name: {"value": one.value, "source": one.source} for one in settings}
            for group, settings in groups.items()
        }
        print(json.dumps(said))
        return
    for setting in (*options, *variables):
        print(f"{setting.name}\t{json.dumps(setting.value)}\t{setting.source}")


def _variables(config_path: Path | None, key: str) -> list[Setting]:
    """What no file sets: where the archive and the data are, and whether the variable `key` holds a key."""

    def source(variable: str) -> str:
        return "environment" if os.environ.get(variable) else DEFAULT

    file = str(config_path) if config_path else os.environ.get(CONFIG_VARIABLE)
    given = os.environ.get(DATABASE_VARIABLE)
    return [
        Setting(CONFIG_VARIABLE, file or None, "--config" if config_path else source(CONFIG_VARIABLE)),
        Setting(DATABASE_VARIABLE, shown(given) if given else "the embedded server", source(DATABASE_VARIABLE)),
        Setting("BIGBROTR_DATA_DIR", str(data_dir()), source("BIGBROTR_DATA_DIR")),
        Setting(key, "set" if os.environ.get(key) else "not set", source(key)),
    ]


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def config_check(file: Path) -> int:
    """Check FILE: a line for each mistake, and for each option of BigBrotr's that has no effect here."""
    found = check_file(file)
    for line in (*found.warnings, *found.faults):
        complain(line)
    if found.faults:
        return 1
    print(f"{file}: good")
    return 0


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the file, by which an editor completes and checks it."""
    print(json.dumps(json_schema(), indent=2))

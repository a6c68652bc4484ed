"""Commands on Dagster's own programs: `dev` starts them all, `webserver` one, `init` writes what they read."""

import os
from pathlib import Path

import click

from bigbrotr_dagster.cli.common import config_option, demo_option, private_option
from bigbrotr_dagster.cli.dev.server import run_dev
from bigbrotr_dagster.cli.logs import log_options, service
from bigbrotr_dagster.cli.web_guard import ALLOW_HOST_VARIABLE, host_name
from bigbrotr_dagster.cli.webserver import serve_ui
from bigbrotr_dagster.config import load_config
from bigbrotr_dagster.defs.instance import initialize


def _host_names(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(host_name(text) for text in given)
    except ValueError as error:
        raise click.BadParameter("a host name or IP address is expected, without scheme and port") from error


host_option = click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    envvar=ALLOW_HOST_VARIABLE,
    callback=_host_names,
    help="Serve the UI under this host name as well as under localhost; may be repeated.",
)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the UI.")
@config_option
@private_option
@demo_option
@host_option
@log_options
def dev(port: int, config_path: Path | None, allow_private: bool, demo: bool, allow_host: tuple[str, ...]) -> int:
    """Start everything: PostgreSQL, Dagster's UI and daemon, schedules on. Ctrl-C stops it all."""
    load_config(config_path)
    with service("dev"):
        return run_dev(port, config_path, demo, allow_private, allow_host)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@host_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def webserver(allow_host: tuple[str, ...], options: tuple[str, ...]) -> int:
    """Serve Dagster's UI alone, guarded against other web pages; OPTIONS are those of `dagster-webserver`."""
    return serve_ui(options, allow_host)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path | None) -> None:
    """Write dagster.yaml and workspace.yaml for Dagster's own programs into FOLDER, else DAGSTER_HOME, else here.

    What a person has changed is kept.
    """
    for line in initialize((folder or Path(os.environ.get("DAGSTER_HOME") or ".")).expanduser().resolve()):
        print(line)

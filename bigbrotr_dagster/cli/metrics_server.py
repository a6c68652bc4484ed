"""What the command `metrics` does: Prometheus's own HTTP server, in front of the archive's figures."""

import threading

import click
from prometheus_client import start_http_server

from bigbrotr_dagster.archive.metrics import archive_metrics
from bigbrotr_dagster.cli.logs import tell


def serve_metrics(database_url: str, host: str, port: int) -> None:
    """Answer scrapes until a signal.

    Raises:
        click.ClickException: one cannot listen there.
    """
    try:
        server, thread = start_http_server(port, host, archive_metrics(database_url))
    except (OSError, UnicodeError) as error:  # the latter: a name that is none
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise click.ClickException(f"cannot listen on {host}, port {port}: {why}; see --host, --port") from error
    try:
        shown = f"[{host}]" if ":" in host else host
        tell("metrics_server_started", host=host, port=port)
        print(f"Serving on http://{shown}:{port}/metrics - Ctrl-C stops", flush=True)
        threading.Event().wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        tell("metrics_server_stopped")

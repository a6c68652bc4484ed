"""Dagster's web server with a guard before it: `bigbrotr-dagster webserver`, and what `dev` starts.

It takes the options of `dagster-webserver`; the guard stands where Dagster lets a web server put middleware.
"""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from starlette.middleware import Middleware

from bigbrotr_dagster.cli.web_guard import Guard


def serve_ui(options: Sequence[str], names: Collection[str]) -> int:
    """Run `dagster-webserver` with these options until a signal; returns the exit code.

    `names`: host names that the UI is reached by, beside the loopback ones.
    """
    from dagster_webserver import cli, webserver  # Dagster takes seconds to import

    dagsters_own = webserver.DagsterWebserver.build_middleware

    def build_middleware(self: webserver.DagsterWebserver[Any, Any]) -> list[Middleware]:
        return [Middleware(Guard, names=names), *dagsters_own(self)]

    logging.getLogger().handlers.clear()  # Dagster sets up its own, and each line would be there twice
    webserver.DagsterWebserver.build_middleware = build_middleware  # type: ignore[method-assign]
    cli.dagster_webserver.main(
        list(options), "dagster-webserver", standalone_mode=False, auto_envvar_prefix="DAGSTER_WEBSERVER"
    )
    return 0

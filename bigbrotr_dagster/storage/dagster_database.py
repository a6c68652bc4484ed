"""Dagster's own database, on the server that holds the archive."""

from bigbrotr_dagster.storage.address import SESSION_NAME, sqlalchemy_url
from bigbrotr_dagster.storage.create import create_database
from bigbrotr_dagster.storage.session import CONNECT_TIMEOUT, connect, settings

__all__ = ["CONNECT_TIMEOUT", "SESSION_NAME", "dagster_database_url", "ensure_dagster_database", "settings"]


def dagster_database_url(url: str) -> str:
    """SQLAlchemy's URL of Dagster's database, `dagster`, on the server of the archive at `url`."""
    return sqlalchemy_url(url, "dagster")


def ensure_dagster_database(url: str) -> None:
    """Create Dagster's database if it is missing.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    create_database(url, "dagster")
    with connect(url, dbname="dagster"):
        pass

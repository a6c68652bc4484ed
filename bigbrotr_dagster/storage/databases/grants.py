"""What a role has to be granted that syncs and reads, while another one owns the tables and migrates them."""

from bigbrotr_dagster.storage.databases.dagster_database import dagster_database_name
from bigbrotr_dagster.storage.queries import query
from bigbrotr_dagster.storage.sessions import connect


def grants_for(url: str, role: str) -> list[str]:
    """SQL that makes `role` a user of the archive at `url`, an order in each line; nothing is executed.

    Raises:
        DatabaseUnavailable: the server does not answer, or refuses.
    """
    with connect(url) as connection:
        orders = [text for (text,) in connection.execute(query("grants"), {"role": role})]
        name = dagster_database_name(url)
        orders += [
            text for (text,) in connection.execute(query("grants_on_dagster"), {"role": role, "database": name})
        ]
    return orders

#!/bin/sh
# Brings the archive up to date, as its owner, and lets bigbrotr_sync use what is new there; then Dagster's own tables,
# unless Kubernetes' chart sees to them.
set -eu
bigbrotr-dagster db migrate
# Only the grants: Dagster's database is the role dagster's here.
grants=$(bigbrotr-dagster db grants bigbrotr_sync)
echo "$grants" | grep '^GRANT ' | bigbrotr-dagster db psql -q -v ON_ERROR_STOP=1
[ -z "${DAGSTER_POSTGRES_HOST:-}" ] || dagster instance migrate

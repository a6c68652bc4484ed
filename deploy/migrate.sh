#!/bin/sh
# Brings the archive and Dagster's database up to date, as the archive's owner.
set -eu
bigbrotr-dagster db migrate
dagster instance migrate

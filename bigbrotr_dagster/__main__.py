"""`python -m bigbrotr_dagster`."""

import sys

from bigbrotr_dagster.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""One cycle in a process of its own, for the memory that it takes: prints its report as JSON.

python -m tests.sync.memory_client '{"database": URL, "relays": [URL...], "options": {...}}'
"""

import asyncio
import json
import sys

from bigbrotr_dagster.sync import sync_relays
from tests.sync.helpers import config


def main() -> None:
    given = json.loads(sys.argv[1])
    report = asyncio.run(sync_relays(given["database"], config(**given["options"]), given["relays"]))
    print(json.dumps(report.to_json_dict()))


if __name__ == "__main__":
    main()

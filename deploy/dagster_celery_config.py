"""How a worker runs: dagster-celery reads the module of this name, which has to be on PYTHONPATH."""

import os

broker_url = os.environ["CELERY_BROKER_URL"]
result_backend = os.environ["CELERY_RESULT_BACKEND"]
broker_connection_retry_on_startup = True
broker_transport_options = {"socket_keepalive": True, "socket_connect_timeout": 5, "health_check_interval": 10}

worker_concurrency = int(os.environ.get("WORKER_RUNS", "4"))
worker_disable_prefetch = True  # a run goes to a worker that has room for it, and waits behind no other
worker_max_tasks_per_child = 200  # what a process has kept of its runs is given back

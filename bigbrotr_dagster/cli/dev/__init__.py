"""What `bigbrotr-dagster dev` starts, and how all of it stops.

`server` is the command; `services` are Dagster's three programs, `diary` what it says meanwhile; `processes` finds
and stops whatever came from them, and `guardian`, a process of its own, does that where `dev` was killed. Start
reading at `server`.
"""

__all__ = ["server"]

"""What to ask a relay next, given every answer so far: no I/O, no clock, standard library only."""

from bigbrotr_dagster.windowing.habits import Habits, Order
from bigbrotr_dagster.windowing.intervals import Coverage, Interval
from bigbrotr_dagster.windowing.outcome import Ending, Hint, Outcome
from bigbrotr_dagster.windowing.rereading import Reread
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Gap, Proof
from bigbrotr_dagster.windowing.walk import Walk

__all__ = [
    "Answer",
    "Ask",
    "Coverage",
    "Ending",
    "Gap",
    "Habits",
    "Hint",
    "Interval",
    "Order",
    "Outcome",
    "Proof",
    "Reread",
    "Walk",
]

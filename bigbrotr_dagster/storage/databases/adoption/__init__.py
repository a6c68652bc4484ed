"""Takes over a database of BigBrotr's while BigBrotr goes on reading and writing.

Theory of operation. `event_relay` stays BigBrotr's table until the end. First every event gets its number (`seq`),
in batches. Then what is written into `event_relay` is mirrored into `observation` by triggers, in the writer's own
transaction, and the older rows are copied in batches. When both hold the same, one short transaction drops the
table and puts the view of that name in its place. Until then the table is whole, readers and writers use nothing
else, and the way back is to drop what was made.

Each step can be killed and begun again: a batch notes how far it came in its own transaction, and every other step
looks at what is there. Nobody waits for us longer than for a batch, or for a statement on the catalog (`short`).

Start reading at `course`: the steps in their order. `walks` goes through a table in batches, `indexes` makes
indexes beside the writers, `views` the views that will be read in the end.
"""

from bigbrotr_dagster.storage.databases.adoption.course import adopt, undo
from bigbrotr_dagster.storage.databases.adoption.walks import Progress

__all__ = ["Progress", "adopt", "undo"]

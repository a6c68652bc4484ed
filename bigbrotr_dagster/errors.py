"""What this program raises on purpose, in one tree; the message of each is one line for a person.

    ArchiveError
    ├── CannotGoOn               the program, or a run, ends: exit code 1
    │   ├── ConfigError              the options (config)
    │   ├── DatabaseUnavailable      PostgreSQL is away, or refuses (storage.trouble)
    │   ├── AdoptionRefused          BigBrotr's database is taken over otherwise, or not yet (storage.databases)
    │   ├── ExportRefused            a data set cannot be written (archive.export)
    │   │   ├── PlaceInUse               another export writes there (archive.export)
    │   │   └── DayRefused               a day cannot be written, and others can (archive.export)
    │   ├── DataSetUnreadable        a data set cannot be opened, or not be asked that (cli.data_set)
    │   ├── ReportRefused            the page of plots cannot be made (archive.report)
    │   ├── RetentionRefused         a sync does not know yet what is left out (archive.retention)
    │   ├── EmbeddedUnavailable      the server of our own cannot be used (storage.embedded)
    │   ├── HomeError                DAGSTER_HOME (defs.instance)
    │   ├── SettingsError            a component's prefix, or a second graph in one process (defs.settings)
    │   ├── RunFailed                a run broke down before its relays were synced (defs.automation)
    │   ├── DevServerError           `dev` cannot start (cli.dev)
    │   ├── AlreadyRunning           another `dev` is at work (cli.dev)
    │   └── PortInUse                a practice relay's port (demo)
    ├── RelayError               one relay's fault: it is recorded, and the others go on
    │   ├── ConnectError             it cannot be reached (nostr.reach)
    │   ├── NameNotFound             its name has no address (nostr.resolver)
    │   ├── NotARelay                it does not speak Nostr; `reason` is a word to count by (discovery.probe)
    │   ├── RelayFailed              its sync ends here for this run (sync.relay)
    │   └── NegentropyError          an answer that reconciles nothing: a tree of its own (negentropy.errors)
    ├── InvalidInput             a text that is not what it should be: a ValueError, too
    │   ├── InvalidRelayURL          (nostr.relay_url)
    │   ├── InvalidPrivateKey        its message never repeats the text (nostr.keys)
    │   ├── ProtocolError            no message of NIP-01 (nostr.messages)
    │   ├── EventError               no event; `reason` is a word to count by (nostr.event)
    │   └── Unreadable               no JSON at all (nostr.salvage)
    ├── ListUnavailable          a list of relays did not come; it is asked again (discovery.lists)
    └── WebhookFailed            nobody took a message; nothing hangs on it (defs.automation)

Any other exception is a mistake of ours, and its traceback names it. Every class stands beside what raises it;
this module imports nothing, and every room may import it.
"""


class ArchiveError(Exception):
    """Anything that this program raises on purpose."""


class CannotGoOn(ArchiveError):
    """The program, or the run, ends, and the message says what to do."""


class RelayError(ArchiveError):
    """One relay's fault."""


class InvalidInput(ArchiveError, ValueError):
    """A text, from a relay or a person, that is not what it should be."""

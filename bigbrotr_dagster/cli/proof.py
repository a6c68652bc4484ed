"""Commands on what is proved of each relay: its cursor, and its gaps."""

import click

from bigbrotr_dagster.archive.proof import RelayState, mark_gaps, relay_gaps, relay_states, reset_cursor
from bigbrotr_dagster.cli.common import archive_to_read, one_relay_url, ready_database, relay_urls, shown_time
from bigbrotr_dagster.nostr.text import safe_line
from bigbrotr_dagster.storage.ingest import LAST_SECOND
from bigbrotr_dagster.windowing.kinds import RESTRICTED_KINDS

WITHOUT = f"without kinds {' and '.join(map(str, RESTRICTED_KINDS))}, and rare kinds that these may hide"


@click.group()
def cursors() -> None:
    """How far each relay is archived."""


@cursors.command("show")
@click.argument("url", required=False)
@click.option(
    "--cost", is_flag=True, help="Also how it is proved, and events sent for each new one, the last day."
)
def cursors_show(url: str | None, *, cost: bool) -> None:
    """Print the cursor, the gaps and the last outcome of every relay, or of one."""
    url = one_relay_url(url)
    states = relay_states(archive_to_read(), url)
    if url is not None and not states:
        raise click.ClickException(f"{url} is not registered")
    for state in states:
        at = shown_time(state.cursor.timestamp) if state.cursor else "-"
        error = safe_line(state.error or "")  # an older row may hold what a relay said as it said it
        outcome = "never tried" if state.ok is None else "ok" if state.ok else f"failed: {error}"
        without = f"\t{WITHOUT}" if state.lacks_restricted else ""
        spent = f"\t{_spent(state)}" if cost else ""
        print(f"{state.url}\t{at}\t{state.gaps} gaps\t{outcome}{without}{spent}")


def _spent(state: RelayState) -> str:
    how = "reconciled" if state.is_reconciled else "paged"
    return how if state.transfers is None else f"{how}\t{state.transfers:.2f} transfers an event"


@cursors.command("reset")
@click.argument("url")
@click.option(
    "--to",
    type=click.IntRange(0, LAST_SECOND),
    default=0,
    help="Unix time from which on to read again; default: all.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be read again.")
def cursors_reset(url: str, to: int, dry_run: bool) -> None:
    """Forget what is proved of a relay from a second on, so that it is read again. Events stay."""
    [normal] = relay_urls([url], allow_private=True)
    database = archive_to_read() if dry_run else ready_database()
    seconds, events = reset_cursor(database, normal, to, dry_run=dry_run)
    verb = "would be" if dry_run else "will be"
    stretch = f"{seconds} covered seconds from {shown_time(to)} on"
    print(f"{normal}: {stretch} {verb} read again; {events} events are stored")


@click.group()
def gaps() -> None:
    """What could not be proved complete, and why."""


@gaps.command("list")
@click.argument("url", required=False)
def gaps_list(url: str | None) -> None:
    """Print the gaps of every relay, or of one: from, to, reason, events held there and missing there, tries."""
    url = one_relay_url(url)
    for gap in relay_gaps(archive_to_read(), url):
        span = f"{shown_time(gap.since)}\t{shown_time(gap.until)}"
        missing = "unknown" if gap.missing is None else gap.missing
        counts = f"{gap.held} held\t{missing} missing\t{gap.tries} tries"
        print(f"{gap.relay_url}\t{span}\t{safe_line(gap.reason)}\t{counts}")


@gaps.command("retry")
@click.argument("url")
def gaps_retry(url: str) -> None:
    """Try all gaps of a relay again with its next sync; by itself a sync tries one."""
    [normal] = relay_urls([url], allow_private=True)
    print(f"{mark_gaps(ready_database(), normal)} gaps are tried again with the next sync of {normal}")

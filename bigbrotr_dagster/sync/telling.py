"""Telling a walk what came of its ask, and what that proves."""

from dataclasses import replace

from bigbrotr_dagster.nostr.connection import Reply
from bigbrotr_dagster.windowing.conduct import Verdict
from bigbrotr_dagster.windowing.tasks import Answer, Ask, Proof, Unproven
from bigbrotr_dagster.windowing.walk import Walk


def answer_of(page: Reply) -> Answer:
    """What the walk is told of a page."""
    off_filter = page.rejected_counts["off_filter"]
    return Answer(
        page.events,
        page.outcome,
        page.outside,
        page.refused,
        off_filter,
        page.rejected_at,
        page.duplicates,
        frozenset(page.refused_ids),
    )


def told(walk: Walk, ask: Ask, verdict: Verdict, page: Reply) -> Proof:
    """Tell the walk what came of its ask; returns what that proves."""
    said = page.outcome.text
    match verdict:
        case Verdict.ANSWERED:
            return walk.answered(ask, answer_of(page))
        case Verdict.SET_ASIDE if (refused := walk.refused(ask, str(page.outcome))) is not None:
            return refused
        case Verdict.BROKEN | Verdict.FLOODED:
            return walk.broken(ask, said, flood=verdict is Verdict.FLOODED)
        case Verdict.BURIED:
            proof = walk.broken(ask, said)
            return replace(proof, gaps=tuple(replace(gap, reason=Unproven.NO_EOSE) for gap in proof.gaps))
    walk.failed(ask)
    return Proof()

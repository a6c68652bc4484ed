"""One request under way, and what a relay's words mean for it; `conversation` sends and receives.

Theory of operation. `Subscription` says what a message is; here it is judged. Where several requests are under way
nothing is: a NOTICE names no subscription, and a challenge may be for any of them. What does not end with EOSE is
to be asked again alone. Then a NOTICE may be all the answer there is, an EOSE may have been for anybody, before
the relay knew who asks, and events may be waited for after it.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from time import monotonic

from bigbrotr_dagster.nostr.deadline import Deadline
from bigbrotr_dagster.nostr.event import Event, verify_signature
from bigbrotr_dagster.nostr.line import Line
from bigbrotr_dagster.nostr.messages import Notice, Ok
from bigbrotr_dagster.nostr.subscription import Meaning, Reply, Subscription
from bigbrotr_dagster.windowing.outcome import NOISE, Ending, Outcome

AUTH_GRACE = 10.0
"""Seconds that a relay has to challenge us and accept our answer, once it has asked for authentication."""

VERDICT_GRACE = 3.0
"""Seconds that it has to accept our answer, where it has not asked for that: it may have kept something back."""

MOST_VERIFIED = 3
"""Events of an answer without an end whose signatures are looked at: one is enough to know a relay by."""

MUCH_NOISE = 100
"""Messages that are no answer, and nothing else: a relay that sends them is not silent."""


@dataclass(frozen=True, slots=True)
class AfterEose:
    """What an EOSE is worth: the end is `seconds` without an event after it, or that `enough` events have come."""

    seconds: float = 0.0
    enough: int = 0


AT_ONCE = AfterEose()
"""An EOSE ends the request."""


class Again(Enum):
    """The REQ is to be sent once more, under another subscription id."""

    NOW = auto()
    AFTER_CLOSE = auto()
    """The relay has not ended the first one."""


class Request:
    """One of several requests: it is not judged, but for how it ended."""

    stay_open = False
    """Whether the relay's subscription need not be closed after an EOSE with nothing before it."""

    def __init__(self, number: int, subscription: Subscription) -> None:
        self.number = number
        self.subscription = subscription
        self.asked_at = 0.0
        """Monotonic seconds, once it was sent."""
        self.waited = 0.0
        """Seconds until the relay said anything."""

    def heard(self, deadline: Deadline) -> Outcome | None:
        """A message came that asks for nothing, most likely an event; returns the outcome if that is the end."""
        deadline.heard()
        return None

    def judge(self, meaning: Meaning, deadline: Deadline) -> Outcome | Again | None:
        """Any other message came; returns the outcome if that is the end, or that it is to be asked again."""
        if isinstance(meaning, Outcome):
            return meaning
        deadline.heard()
        return None

    def silence(self) -> Outcome | None:
        """Return what silence means, where it means more than itself."""
        return None

    def finish(self, outcome: Outcome) -> Reply:
        """All that it brought, now that it has ended."""
        reply = self.subscription.finish(outcome)
        reply.waited, reply.lasted = self.waited, monotonic() - self.asked_at
        return reply


class LoneRequest(Request):
    """The one request under way: whatever the relay says is about it. `after_eose` may follow its EOSE."""

    def __init__(
        self, number: int, subscription: Subscription, line: Line, after_eose: AfterEose, *, stay_open: bool
    ) -> None:
        super().__init__(number, subscription)
        self.stay_open = stay_open
        self._line = line
        self._authenticator = line.authenticator
        self._after_eose = after_eose
        self._eose: Outcome | None = None  # which came, while events are waited for
        self._noted = 0  # events until then, and those since that were taken note of
        self._heard_at = 0.0  # that EOSE, or the last event after it
        self._answer_to_anybody: Outcome | None = None  # EOSE, before the relay knew who asks
        self._refusal: Outcome | None = None  # CLOSED auth-required: waiting for the OK to ask again
        self._asked_again = False  # after the relay knew who asks
        self._late = 0
        self._longest_silence = 0.0

    def heard(self, deadline: Deadline) -> Outcome | None:
        """Take note of an event, or of what is nothing: in the short time after a NOTICE it buys no more."""
        if self._eose is not None:
            return self._eose if self._is_enough(deadline) else None
        if self._refusal is None and self._answer_to_anybody is None and self.subscription.notice is None:
            deadline.heard()
        return None

    def _is_enough(self, deadline: Deadline) -> bool:
        """Take note of what may be an event after the EOSE; more of them are waited for unless that is enough."""
        received = self.subscription.received
        if received == self._noted:
            return False
        self._noted = received
        now = monotonic()
        self._late += 1
        self._longest_silence = max(self._longest_silence, now - self._heard_at)
        self._heard_at = now
        deadline.again()
        return received >= self._after_eose.enough

    def judge(self, meaning: Meaning, deadline: Deadline) -> Outcome | Again | None:
        """Make of a message what it means for the only request there is."""
        match meaning:
            case Outcome(Ending.EOSE) | Notice() if self._eose is not None:
                return None  # a second one says no more than the first
            case Outcome(Ending.CLOSED) if self._eose is not None:
                return self._eose
            case Notice():
                deadline.shorten(self._line.grace)
            case Ok() if self._authenticator.receive(meaning):
                return self._heed_verdict(meaning)
            case Outcome(Ending.EOSE) if self._authenticator.is_waiting and self._may_ask_again():
                self._answer_to_anybody = meaning
                deadline.shorten(VERDICT_GRACE)
            case Outcome(Ending.CLOSED, prefix="auth-required") if self._may_ask_again():
                self._refusal = meaning
                deadline.shorten(AUTH_GRACE)
                if self._authenticator.accepted:
                    return self._ask_again(Again.NOW)
            case Outcome(Ending.EOSE) if self.subscription.received < self._after_eose.enough:
                self._eose, self._heard_at = meaning, monotonic()
                self._noted = self.subscription.received
                deadline.shorten(self._after_eose.seconds)
            case Outcome():
                return meaning
        return None

    def _heed_verdict(self, verdict: Ok) -> Outcome | Again | None:
        """The relay knows who asks, or will not: what it has answered until now, it answered anybody."""
        if verdict.accepted and self._may_ask_again():
            is_open = self._refusal is None and self._answer_to_anybody is None
            return self._ask_again(Again.AFTER_CLOSE if is_open else Again.NOW)
        if self._refusal is not None:
            return Outcome(Ending.CLOSED, prefix=self._refusal.prefix, text=verdict.text)
        return self._answer_to_anybody

    def _may_ask_again(self) -> bool:
        return self._authenticator.able and not self._asked_again

    def _ask_again(self, how: Again) -> Again:
        self._asked_again = True
        self._refusal = self._answer_to_anybody = None
        return how

    def silence(self) -> Outcome | None:
        """Return what silence means: what was said before it, if that may be the answer."""
        said = self._eose or self._refusal or self._answer_to_anybody
        if said is None and self.subscription.notice is not None:
            return Outcome(Ending.NOTICE, text=self.subscription.notice)
        return said

    def finish(self, outcome: Outcome) -> Reply:
        """All that it brought; the outcome says as well what came in place of an answer."""
        if self.subscription.notices:
            self._line.note_notice(was_all=outcome.ending is Ending.NOTICE)
        reply = super().finish(outcome)
        if not self._line.spoke:
            ended = outcome.ending in (Ending.EOSE, Ending.CLOSED)
            self._line.spoke = ended or self.subscription.notices > 0 or _has_valid_event(reply)
        if (reply.ignored or reply.garbage) and outcome.ending in (Ending.TIMEOUT, Ending.PROTOCOL_ERROR):
            text = outcome.text.replace("silent", "no answer")
            is_noise = not reply.received and reply.ignored + reply.garbage >= MUCH_NOISE
            prefix = NOISE if is_noise else outcome.prefix
            reply.outcome = replace(outcome, prefix=prefix, text=f"{text}: {reply.summary}")
        reply.late, reply.silence = self._late, self._longest_silence
        reply.as_member = self._asked_again
        return reply


def _has_valid_event(reply: Reply) -> bool:
    """Whether one of the first events that were asked for is one: anybody can send what looks so."""
    first = [*reply.events, *reply.outside][:MOST_VERIFIED]
    return any(verify_signature(event) for event in first if isinstance(event, Event))

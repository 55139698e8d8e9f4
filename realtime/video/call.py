"""A call as a value: who is in it, in which epoch, from which page. The rules of joining, moving and leaving.

Each person has one place. A page that comes in anew begins an epoch and takes the place over from an older page; a page
that resumes after its socket broke keeps the epoch, so that its media, which never stopped, goes on untouched.
Two people talk in the epoch of whichever of them came in last, so a third who joins disturbs no pair.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from realtime.video.wire import CallRole, MediaShown, PeerView
from server.core.errors import Conflict
from server.core.ids import ConsultationId, UserId
from server.core.models import Model

# How long a broken socket holds a place that somebody else needs.
GRACE = timedelta(seconds=60)
# A page may bring an epoch back, but not one from the future, which would leave no room above it.
EPOCH_AHEAD_SECONDS = 3600
MAX_PEOPLE = 4


class TakenOver(Conflict):
    """This call goes on in another window of yours. Join again to bring it here."""

    code = "call-taken-over"
    title = "The call moved to another window."


class CallFull(Conflict):
    """Four people are in this call already."""

    code = "call-full"
    title = "This call is full."


class NotInCall(Conflict):
    """This socket is in no call, or the call was forgotten. Join it, with `resume` to keep the media going."""

    code = "not-in-call"
    title = "You are not in this call."


class Person(Model):
    """One person's place in a call. `socket` is None from when it broke until the page is back."""

    id: str
    role: CallRole
    device: str
    epoch: int
    socket: str | None
    gone_at: datetime | None = None
    media: MediaShown | None = None

    def view(self) -> PeerView:
        return PeerView(id=self.id, role=self.role, epoch=self.epoch, here=self.socket is not None, media=self.media)


class Call(Model):
    """Everybody in a call, and its newest epoch."""

    epoch: int = 0
    people: tuple[Person, ...] = ()

    def person(self, peer_id: str) -> Person | None:
        return next((person for person in self.people if person.id == peer_id), None)

    def others(self, peer_id: str) -> list[Person]:
        """The others who have not left, also those whose socket broke."""
        return [person for person in self.people if person.id != peer_id]

    def with_person(self, person: Person) -> Call:
        kept = tuple(other for other in self.people if other.id != person.id)
        return Call(epoch=max(self.epoch, person.epoch), people=(*kept, person))

    def without(self, peer_id: str) -> Call:
        return Call(epoch=self.epoch, people=tuple(other for other in self.people if other.id != peer_id))


def peer_id_of(consultation_id: ConsultationId, user_id: UserId) -> str:
    """A person's id in one call: the same from every device, and in no other call."""
    return hashlib.sha256(f"{consultation_id}:{user_id}".encode()).hexdigest()[:20]


def joined(
    call: Call, *, peer_id: str, role: CallRole, device: str, socket: str, resume: int | None, now: datetime
) -> Call:
    """The call after a page came in. Raises TakenOver for a page that resumes what another one holds; CallFull."""
    mine = call.person(peer_id)
    seconds = int(now.timestamp())
    if resume is not None and resume > seconds + EPOCH_AHEAD_SECONDS:
        resume = None
    if resume is not None:
        if mine is not None and mine.device != device:
            raise TakenOver
        if mine is not None:
            return call.with_person(mine.model_copy(update={"socket": socket, "gone_at": None, "role": role}))
        if not call.others(peer_id) or resume >= call.epoch:
            # The store was emptied while the media went on: both sides bring their epoch back.
            return call.with_person(Person(id=peer_id, role=role, device=device, epoch=resume, socket=socket))
    others = call.others(peer_id)
    if mine is None and len(others) >= MAX_PEOPLE:
        # Whoever closed the page without leaving makes room for somebody who is here.
        others = [person for person in others if person.gone_at is None or now - person.gone_at <= GRACE]
        if len(others) >= MAX_PEOPLE:
            raise CallFull
    epoch = max(call.epoch + 1, (resume or 0) + 1, seconds)
    person = Person(id=peer_id, role=role, device=device, epoch=epoch, socket=socket)
    return Call(epoch=call.epoch, people=tuple(others)).with_person(person)


def pair_epoch(one: Person, other: Person) -> int:
    """The epoch that two people talk in."""
    return max(one.epoch, other.epoch)

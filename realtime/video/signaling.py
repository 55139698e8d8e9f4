"""The commands of a call: join, pass a description or candidates on, say what is sent, renew credentials, leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realtime.video.call import Call, NotInCall, Person, TakenOver, joined, pair_epoch, peer_id_of
from realtime.video.ports import Calls, CallSocket, StoreAway
from realtime.video.turn import CREDENTIAL_LIFE
from realtime.video.wire import (
    Accepted,
    AddCandidates,
    CallRole,
    Describe,
    IceAnswer,
    JoinCall,
    JoinedCall,
    LeaveCall,
    MediaShown,
    RenewIce,
    ReportQuality,
    ShowMedia,
)
from server.core.errors import Unavailable
from server.core.ids import ConsultationId
from server.core.models import Done

_IN_CALL = "video"
_TRIES = 20


class CallsAway(Unavailable):
    """A call cannot begin for a moment. A call that is under way goes on; the chat works."""

    code = "calls-away"
    title = "Video cannot be connected for a moment."


@dataclass(frozen=True, slots=True)
class _InCall:
    """What a socket remembers of the one call that it is in."""

    consultation_id: ConsultationId
    peer_id: str


async def join_call(calls: Calls, socket: CallSocket, ask: JoinCall) -> JoinedCall:
    """Come into a call, for whoever `may_join` lets in. A socket that is in another call leaves that first.

    An older page of the same person hears `video.taken_over`, everybody else `video.peers`. A page that resumes hears
    again what the others last described for it. Raises TakenOver, CallFull, CallsAway and what `may_join` raises.
    """
    consultation_id = ConsultationId(ask.consultation_id)
    role = await calls.may_join(socket.actor, consultation_id)
    user_id = socket.actor.user_id
    if user_id is None:
        raise NotInCall
    before = _place_of(socket)
    if before is not None and before.consultation_id != consultation_id:
        await leave_call(calls, socket, LeaveCall())
    peer_id = peer_id_of(consultation_id, user_id)
    now = calls.clock()

    def come_in(call: Call) -> Call:
        return joined(call, peer_id=peer_id, role=role, device=ask.device, socket=socket.id, resume=ask.resume, now=now)

    old, call = await _change(calls, consultation_id, come_in)
    socket.state[_IN_CALL] = _InCall(consultation_id, peer_id)
    mine = call.person(peer_id)
    assert mine is not None
    older = old.person(peer_id)
    if older is not None and older.socket not in (None, socket.id) and older.device != ask.device:
        await _tell(calls, consultation_id, older, "video.taken_over", {})
    await _tell_peers(calls, consultation_id, call, besides=peer_id)
    if ask.resume is not None:
        await _repeat_descriptions(calls, consultation_id, call, mine)
    return JoinedCall(
        id=peer_id,
        epoch=call.epoch,
        joined=mine.epoch,
        polite=role is not CallRole.DOCTOR,
        path="turn" if calls.turn.configured else "direct",
        ice_servers=calls.turn.servers(now),
        peers=[person.view() for person in call.others(peer_id)],
    )


async def describe(calls: Calls, socket: CallSocket, ask: Describe) -> Accepted:
    """Pass an offer or answer on, and keep it as this side's last; one of an old epoch is dropped."""
    place, call, mine = await _mine(calls, socket)
    receiver = _receiver(call, mine, ask.to, ask.epoch)
    if receiver is not None:
        description = ask.description.model_dump()
        data = {"from": mine.id, "epoch": ask.epoch, "seq": ask.seq, "description": description}
        try:
            await calls.store.keep_description(place.consultation_id, mine.id, receiver.id, json.dumps(data))
        except StoreAway as away:
            raise CallsAway from away
        await _tell(calls, place.consultation_id, receiver, "video.describe", data)
    return Accepted(epoch=call.epoch)


async def add_candidates(calls: Calls, socket: CallSocket, ask: AddCandidates) -> Accepted:
    """Pass candidates on. They are not kept: who missed them restarts ICE."""
    place, call, mine = await _mine(calls, socket)
    receiver = _receiver(call, mine, ask.to, ask.epoch)
    if receiver is not None:
        candidates = [candidate.model_dump(by_alias=True, exclude_none=True) for candidate in ask.candidates]
        data = {"from": mine.id, "epoch": ask.epoch, "candidates": candidates}
        await _tell(calls, place.consultation_id, receiver, "video.candidate", data)
    return Accepted(epoch=call.epoch)


async def show_media(calls: Calls, socket: CallSocket, ask: ShowMedia) -> Accepted:
    """Tell the others what this side sends, now and to whoever joins later."""
    place, _, mine = await _mine(calls, socket)
    shown = MediaShown(audio=ask.audio, video=ask.video, screen=ask.screen)

    def note(call: Call) -> Call:
        person = call.person(mine.id)
        return call if person is None else call.with_person(person.model_copy(update={"media": shown}))

    _, call = await _change(calls, place.consultation_id, note)
    for person in call.others(mine.id):
        await _tell(calls, place.consultation_id, person, "video.media", {"from": mine.id, **shown.model_dump()})
    return Accepted(epoch=call.epoch)


async def report_quality(calls: Calls, socket: CallSocket, ask: ReportQuality) -> Accepted:
    """Take a side's numbers for operations. They name no person."""
    place, call, mine = await _mine(calls, socket)
    calls.hear_quality(place.consultation_id, mine.role, ask)
    return Accepted(epoch=call.epoch)


async def renew_ice(calls: Calls, socket: CallSocket, ask: RenewIce) -> IceAnswer:
    """Fresh TURN credentials for whoever is in a call."""
    await _mine(calls, socket)
    servers = calls.turn.servers(calls.clock())
    return IceAnswer(ice_servers=servers, good_seconds=int(CREDENTIAL_LIFE.total_seconds()))


async def leave_call(calls: Calls, socket: CallSocket, ask: LeaveCall) -> Done:
    """Go out of the call and tell the others. A socket that is in none, or was taken over, changes nothing."""
    place = _place_of(socket)
    if place is None:
        return Done()
    socket.state.pop(_IN_CALL, None)

    def go_out(call: Call) -> Call:
        person = call.person(place.peer_id)
        return call.without(place.peer_id) if person is not None and person.socket == socket.id else call

    old, call = await _change(calls, place.consultation_id, go_out)
    if call != old:
        await _tell_peers(calls, place.consultation_id, call, besides=place.peer_id, left=place.peer_id)
    return Done()


async def socket_closed(calls: Calls, socket: CallSocket) -> None:
    """Note that a page lost its socket. Its media may well go on, so nobody is told and its place stays a minute."""
    place = _place_of(socket)
    if place is None:
        return
    now = calls.clock()

    def lose(call: Call) -> Call:
        person = call.person(place.peer_id)
        if person is None or person.socket != socket.id:
            return call
        return call.with_person(person.model_copy(update={"socket": None, "gone_at": now}))

    try:
        await _change(calls, place.consultation_id, lose)
    except CallsAway:
        return  # the next join puts it right


async def close_call(calls: Calls, consultation_id: ConsultationId) -> None:
    """End a call whose consultation is over: every page hears `video.ended` and stops its devices."""
    try:
        kept = await calls.store.load(consultation_id)
        await calls.store.forget(consultation_id)
    except StoreAway:
        return  # the pages hear consultation.changed too
    for person in kept.call.people if kept else ():
        await _tell(calls, consultation_id, person, "video.ended", {})


def _place_of(socket: CallSocket) -> _InCall | None:
    place = socket.state.get(_IN_CALL)
    return place if isinstance(place, _InCall) else None


async def _mine(calls: Calls, socket: CallSocket) -> tuple[_InCall, Call, Person]:
    """Where this socket is and who it is there. Raises NotInCall; TakenOver if a newer page has the place."""
    place = _place_of(socket)
    if place is None:
        raise NotInCall
    try:
        kept = await calls.store.load(place.consultation_id)
    except StoreAway as away:
        raise CallsAway from away
    mine = kept.call.person(place.peer_id) if kept else None
    if kept is None or mine is None:
        raise NotInCall
    if mine.socket != socket.id:
        raise TakenOver
    return place, kept.call, mine


def _receiver(call: Call, mine: Person, to: str, epoch: int) -> Person | None:
    """Whom a signal is for; None if it is of an old epoch or for somebody who has gone."""
    other = call.person(to)
    if other is None or other.id == mine.id or not pair_epoch(mine, other) <= epoch <= call.epoch:
        return None
    return other


async def _change(calls: Calls, consultation_id: ConsultationId, rule: Callable[[Call], Call]) -> tuple[Call, Call]:
    """Apply a rule to the call, again if another server was quicker; the call before and after."""
    try:
        for _ in range(_TRIES):
            kept = await calls.store.load(consultation_id)
            old = kept.call if kept else Call()
            new = rule(old)
            if new == old or await calls.store.swap(consultation_id, kept.version if kept else 0, new):
                return old, new
    except StoreAway as away:
        raise CallsAway from away
    raise CallsAway


async def _tell(calls: Calls, consultation_id: ConsultationId, person: Person, name: str, data: dict[str, Any]) -> None:
    if person.socket is not None:
        await calls.bus.signal(f"consultation:{consultation_id}", name, data, to=person.socket)


async def _tell_peers(
    calls: Calls, consultation_id: ConsultationId, call: Call, *, besides: str, left: str | None = None
) -> None:
    """Tell the others who is in the call now, and who has just left: to be absent from a store is not to have left."""
    for person in call.others(besides):
        peers = [other.view().model_dump(mode="json") for other in call.others(person.id)]
        data = {"epoch": call.epoch, "peers": peers, "left": left}
        await _tell(calls, consultation_id, person, "video.peers", data)


async def _repeat_descriptions(calls: Calls, consultation_id: ConsultationId, call: Call, mine: Person) -> None:
    """Say again what the others last described for this one, as far as it is of the epoch they are in now."""
    try:
        texts = await calls.store.descriptions_for(consultation_id, mine.id)
    except StoreAway as away:
        raise CallsAway from away
    for text in texts:
        data = json.loads(text)
        sender = call.person(data["from"])
        if sender is not None and data["epoch"] >= pair_epoch(mine, sender):
            await _tell(calls, consultation_id, mine, "video.describe", data)

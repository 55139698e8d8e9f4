"""The rooms of a meeting: the doctor's queue, and the consultation with its waiting room, chat and presence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from realtime.delivery.commands import Command, command
from realtime.delivery.live_room import LiveRoom, PresenceRule
from server.booking import DoctorBusy, NotToBeMoved, PatientBusy, transfer_from_queue
from server.consultations import (
    CONSULTATION,
    QUEUE,
    ChatRead,
    ChatTyping,
    InConsultation,
    NobodyBehind,
    NotCheckedIn,
    NotConfirmed,
    OfDoctor,
    Presence,
    ReadMessages,
    Side,
    TooEarly,
    TooLate,
    Typing,
    Who,
    WrongStatus,
    as_either,
    by_consultation,
    call_next,
    consultation_snapshot,
    end_delay,
    enter_waiting,
    exit_waiting,
    let_next_go_first,
    queue_snapshot,
    read_messages,
    return_patient,
    send_message,
    show_readiness,
    tell_delay,
)
from server.core.cipher import Cipher
from server.core.errors import Invalid, NotFound
from server.core.events import Signal
from server.core.ids import ConsultationId, DoctorId
from server.core.models import Done
from server.core.publish import Publisher
from server.core.routes import as_doctor, as_patient
from server.core.settings import Settings
from server.core.tx import Actor, Role, Run, Tx

its_patient = as_patient.and_("patient of the consultation", by_consultation(Who.PATIENT))
its_doctor = as_doctor.and_("doctor of the consultation", by_consultation(Who.DOCTOR))
its_reader = as_either.and_("patient or treating doctor of the consultation", by_consultation(Who.READER))
_reader = by_consultation(Who.READER)


def side_of(actor: Actor) -> Side | None:
    """As what somebody sits in a consultation."""
    if actor.role is Role.DOCTOR:
        return "DOCTOR"
    return "PATIENT" if actor.role is Role.PATIENT else None


def queue_room(settings: Settings, cipher: Cipher) -> LiveRoom:
    """A doctor's queue: for that doctor alone."""

    async def the_doctor(tx: Tx, doctor_id: UUID) -> None:
        """Raises NotFound for anybody else."""
        if tx.actor.role is not Role.DOCTOR or tx.actor.doctor_id != doctor_id:
            raise NotFound

    async def queue(tx: Tx, doctor_id: UUID) -> Mapping[str, object]:
        shown = await queue_snapshot(tx, OfDoctor(doctor_id=DoctorId(doctor_id)), cipher=cipher)
        return {"entries": shown.entries, "notice": shown.notice}

    commands = [
        command(
            "queue.call",
            partial(call_next, cipher=cipher, settings=settings),
            access=as_doctor,
            raises=[NotFound, NotCheckedIn, TooEarly, WrongStatus],
            under="consultation",
        ),
        command(
            "queue.skip",
            partial(let_next_go_first, cipher=cipher),
            access=its_doctor,
            raises=[NobodyBehind, NotFound, NotCheckedIn, WrongStatus],
            under="consultation",
        ),
        command(
            "queue.put_back",
            partial(return_patient, cipher=cipher),
            access=its_doctor,
            raises=[NotFound, NotCheckedIn, WrongStatus],
            under="consultation",
        ),
        command(
            "queue.transfer",
            partial(transfer_from_queue, cipher=cipher, settings=settings),
            access=its_doctor,
            raises=[DoctorBusy, NotFound, NotToBeMoved, PatientBusy],
            under="consultation",
        ),
        command("queue.tell_delay", tell_delay, access=as_doctor, raises=[NotFound], under="notice"),
        command("queue.end_delay", end_delay, access=as_doctor, raises=[NotFound]),
    ]
    # Nobody is told of it; it is what says that a doctor who called somebody in is still there.
    presence = PresenceRule(role_of=side_of, signal=_nobody_hears, roles=("DOCTOR",))
    return LiveRoom(QUEUE, may_join=the_doctor, snapshot=queue, commands=commands, presence=presence)


def consultation_room(settings: Settings, cipher: Cipher, publisher: Publisher) -> LiveRoom:
    """One consultation: for its patient, and for its doctor while they treat them."""

    async def its_people(tx: Tx, consultation_id: UUID) -> None:
        """Raises NotFound for anybody else."""
        await _reader(tx, InConsultation(consultation_id=ConsultationId(consultation_id)))

    async def consultation(tx: Tx, consultation_id: UUID) -> Mapping[str, object]:
        ask = InConsultation(consultation_id=ConsultationId(consultation_id))
        shown = await consultation_snapshot(tx, ask, cipher=cipher)
        return {
            "consultation": shown.consultation,
            "messages": shown.messages,
            "read_by_other": shown.read_by_other,
        }

    return LiveRoom(
        CONSULTATION,
        may_join=its_people,
        snapshot=consultation,
        commands=_commands(settings, cipher, publisher),
        presence=PresenceRule(role_of=side_of, signal=_presence, roles=("DOCTOR", "PATIENT")),
        rechecked_on=frozenset({"consultation.changed"}),
    )


def _commands(settings: Settings, cipher: Cipher, publisher: Publisher) -> list[Command]:
    async def type_in_chat(run: Run, ask: Typing) -> Done:
        """Tell the other side that somebody is writing, or has stopped. It may be lost."""
        side = side_of(run.actor)
        if side is not None:
            publisher.signal(ChatTyping(consultation_id=ask.consultation_id, role=side, writing=ask.writing), run.now)
        return Done()

    async def read_chat(run: Run, ask: ReadMessages) -> Done:
        """Note what was read, and tell the other side."""
        await run(read_messages, ask)
        side = side_of(run.actor)
        if side is not None:
            publisher.signal(ChatRead(consultation_id=ask.consultation_id, role=side, number=ask.number), run.now)
        return Done()

    return [
        command(
            "waiting.check_in",
            partial(enter_waiting, cipher=cipher, settings=settings),
            access=its_patient,
            raises=[NotFound, NotConfirmed, TooEarly, WrongStatus],
        ),
        command(
            "waiting.readiness",
            partial(show_readiness, cipher=cipher),
            access=its_patient,
            raises=[NotFound],
            under="readiness",
        ),
        command(
            "waiting.leave",
            partial(exit_waiting, cipher=cipher),
            access=its_patient,
            raises=[NotFound, WrongStatus],
        ),
        command(
            "chat.send",
            partial(send_message, cipher=cipher),
            access=its_reader,
            raises=[Invalid, NotFound, NotConfirmed, TooLate, WrongStatus],
            under="message",
        ),
        command("chat.typing", type_in_chat, access=its_reader, raises=[NotFound]),
        command("chat.read", read_chat, access=its_reader, raises=[NotFound]),
    ]


def _presence(consultation_id: UUID, role: str, present: bool) -> Signal | None:  # noqa: FBT001 - the rule's signature
    side: Side = "DOCTOR" if role == "DOCTOR" else "PATIENT"
    return Presence(consultation_id=ConsultationId(consultation_id), role=side, present=present)


def _nobody_hears(doctor_id: UUID, role: str, present: bool) -> Signal | None:  # noqa: FBT001 - the rule's signature
    return None

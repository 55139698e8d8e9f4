"""`/consultations/{id}`: the same address for both sides, each with its own page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from pydantic import StringConstraints, create_model

from server.consultations import (
    OfConsultation,
    Status,
    WriteNote,
    call_patient,
    complete_consultation,
    doctor_of_consultation,
    list_messages,
    list_notes,
    mark_no_show,
    meeting,
    patient_or_doctor,
    reopen_consultation,
    write_note,
)
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.errors import Problem
from server.core.ids import ConsultationId
from server.core.models import Ask, Prose
from server.core.outbox import room_offset
from server.core.privacy import Level
from server.core.routes import Access, Route, SeeOther, as_doctor, form, get, page, post, redirect
from server.core.settings import Settings
from server.core.tx import Role, Run, Tx
from server.doctors import ListDoctors, doctor, find_doctors
from server.prescriptions import Prescription, WritePrescription, write_prescription
from web.pages.booking import Key
from web.pages.meeting import latest_of, message_items, prescriptions_of, show_consultation, state_of
from web.staff_views import MEDICINE_ROWS, DoctorCallView, MedicineRow, NoteItem
from web.views import ConsultationItem, ConsultationView, DoctorItem, FieldProblem, MessageItem

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000), Level.CRITICAL]
PARTS = ("name", "dose", "frequency", "days", "instruction")


class NoteForm(Ask):
    """A note of the doctor's own."""

    id: ConsultationId
    text: Annotated[Prose, Level.CRITICAL]


class _PrescriptionFields(Ask):
    id: ConsultationId
    idempotency_key: Key
    complaints: Text = ""
    diagnosis: Text = ""
    allergies: Text = ""
    advice: Text = ""
    follow_up: Text = ""


# The form's rows are numbered fields: `medicine_1_name` to `medicine_8_instruction`.
_ROWS: dict[str, Any] = {f"medicine_{row}_{part}": (Text, "") for row in range(1, MEDICINE_ROWS + 1) for part in PARTS}
if TYPE_CHECKING:
    PrescriptionForm = _PrescriptionFields
else:
    PrescriptionForm = create_model("PrescriptionForm", __base__=_PrescriptionFields, **_ROWS)


async def show_room(
    run: Run, ask: OfConsultation, *, cipher: Cipher, settings: Settings
) -> ConsultationView | DoctorCallView:
    """The page of whoever looks: the patient's way to the call, or the doctor's desk."""
    if run.actor.role is Role.DOCTOR:
        return await run.read(partial(_desk, cipher=cipher), ask)
    return await run.read(partial(show_consultation, cipher=cipher, settings=settings), ask)


async def call_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Call the patient in and go to the desk."""
    await call_patient(tx, ask, cipher=cipher, settings=settings)
    return SeeOther(location=f"/consultations/{ask.id}")


async def complete_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> SeeOther:
    """It is done; back to the queue."""
    await complete_consultation(tx, ask, cipher=cipher)
    return SeeOther(location="/queue")


async def no_show_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> SeeOther:
    """The patient did not come."""
    await mark_no_show(tx, ask, cipher=cipher)
    return SeeOther(location="/queue")


async def reopen_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> SeeOther:
    """Somebody came after all."""
    await reopen_consultation(tx, ask, cipher=cipher)
    return SeeOther(location=f"/consultations/{ask.id}")


async def note_by_form(tx: Tx, ask: NoteForm, *, cipher: Cipher) -> SeeOther:
    """Keep a note."""
    await write_note(tx, WriteNote(id=ask.id, text=ask.text), cipher=cipher)
    return SeeOther(location=f"/consultations/{ask.id}#notes", notice="saved")


async def prescribe_by_form(run: Run, ask: PrescriptionForm, *, cipher: Cipher) -> SeeOther | DoctorCallView:
    """Sign the prescription; what was typed comes back when something is wrong with it."""
    rows = medicine_rows(ask)
    numbers = [number for number, row in enumerate(rows, 1) if any(row.model_dump().values())]
    filled = [rows[number - 1].model_dump() for number in numbers]
    fields: dict[str, object] = {
        name: value
        for name in ("complaints", "diagnosis", "allergies", "advice", "follow_up")
        if (value := getattr(ask, name))
    }
    fields["medicines"] = [
        {name: (int(value) if name == "days" and value.isdigit() else value) for name, value in row.items() if value}
        for row in filled
    ]
    fields["id"] = str(ask.id)
    try:
        await run.once(
            partial(write_prescription, cipher=cipher),
            build(WritePrescription, fields),
            key=ask.idempotency_key,
            route="POST /consultations/{id}/prescriptions",
            result=Prescription,
        )
    except Problem as problem:
        desk = await run.read(partial(_desk, cipher=cipher), OfConsultation(id=ask.id))
        typed = {name: getattr(ask, name) for name in ("complaints", "diagnosis", "allergies", "advice", "follow_up")}
        return desk.refused(
            problem,
            **typed,
            medicines=rows,
            errors=[_of_row(FieldProblem.model_validate(error), numbers) for error in problem.errors],
        )
    return SeeOther(location=f"/consultations/{ask.id}#prescription", notice="saved")


def medicine_rows(ask: PrescriptionForm) -> list[MedicineRow]:
    """The form's rows as they were typed."""
    return [
        MedicineRow(**{part: str(getattr(ask, f"medicine_{row}_{part}")) for part in PARTS})
        for row in range(1, MEDICINE_ROWS + 1)
    ]


def _of_row(error: FieldProblem, numbers: list[int]) -> FieldProblem:
    """`medicines.0.dose` speaks of the first row that was filled in: name that row's own box."""
    match error.field.split("."):
        case ["medicines", index, part, *_] if index.isdigit() and int(index) < len(numbers):
            return error.model_copy(update={"field": f"medicine_{numbers[int(index)]}_{part}"})
        case _:
            return error


async def _desk(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> DoctorCallView:
    found = await meeting(tx, ask, cipher=cipher)
    held = found.consultation
    messages: list[MessageItem] = []
    read, more = 0, False
    if held.confirmed_at is not None and held.status is not Status.CANCELLED:
        listed = await list_messages(tx, latest_of(ask.id), cipher=cipher)
        messages = message_items(listed.items)
        read, more = listed.read_by_other, listed.next_cursor is not None
    notes = await list_notes(tx, ask, cipher=cipher)
    others = (await find_doctors(tx, ListDoctors())).items if held.status is Status.PENDING else []
    return DoctorCallView(
        consultation=ConsultationItem.model_validate(held),
        doctor=DoctorItem.model_validate(await doctor(tx, held.doctor_id)),
        patient_name=found.patient_name,
        # Who reloads in the middle of a call finds the button to go back into it.
        state="called" if held.status is Status.ACTIVE else state_of(held),
        messages=messages,
        read_by_other=read,
        more_before=more,
        others=[DoctorItem.model_validate(one) for one in others if one.id != held.doctor_id],
        notes=[NoteItem.model_validate(note) for note in notes.items],
        prescriptions=await prescriptions_of(tx, held, found.doctor_name, cipher),
        medicines=[MedicineRow() for _ in range(MEDICINE_ROWS)],
        room=f"consultation:{held.id}",
        offset=await room_offset(tx, f"consultation:{held.id}"),
        idempotency_key=uuid4().hex,
        follow_up_key=uuid4().hex,
    )


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The consultation's page and what its doctor does there."""
    own = as_doctor.and_("doctor of the consultation", doctor_of_consultation)
    either = Access("patient or doctor of the consultation", frozenset({Role.PATIENT, Role.DOCTOR}), patient_or_doctor)

    def act(path: str, handler: Any, **bound: Any) -> Route:
        return post(
            f"/consultations/{{id}}/{path}",
            partial(handler, cipher=cipher, **bound),
            access=own,
            body=form,
            reply=redirect,
        )

    return [
        get(
            "/consultations/{id}",
            partial(show_room, cipher=cipher, settings=settings),
            access=either,
            reply=page("consultation.html"),
        ),
        act("call", call_by_form, settings=settings),
        act("complete", complete_by_form),
        act("no-show", no_show_by_form),
        act("reopen", reopen_by_form),
        act("notes", note_by_form),
        post(
            "/consultations/{id}/prescriptions",
            partial(prescribe_by_form, cipher=cipher),
            access=own,
            body=form,
            reply=page("staff/call.html"),
        ),
    ]

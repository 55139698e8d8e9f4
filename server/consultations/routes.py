"""What can be asked of consultations."""

from __future__ import annotations

from functools import partial

from server.consultations.access import (
    doctor_of_consultation,
    party_to_consultation,
    patient_of_consultation,
    patient_or_doctor,
    reader_of_consultation,
    treating_doctor,
)
from server.consultations.arrive import check_in
from server.consultations.attachments import (
    NotChecked,
    TooManyFiles,
    attach_file,
    download_attachment,
    list_attachments,
)
from server.consultations.call import call_patient, put_back_patient
from server.consultations.chat import list_messages, write_message
from server.consultations.complete import complete_consultation
from server.consultations.delay import end_delay, tell_delay
from server.consultations.file_kinds import FileRefused
from server.consultations.leave_waiting import leave_waiting
from server.consultations.look import get_consultation, list_consultations, own_queue, waiting_place
from server.consultations.no_show import mark_no_show, reopen_consultation
from server.consultations.notes import list_notes, write_note
from server.consultations.object_store import NothingIsKept
from server.consultations.readiness import tell_readiness
from server.consultations.skip import skip_patient
from server.consultations.start import start_consultation
from server.consultations.status import (
    CheckedIn,
    NobodyBehind,
    NotCalled,
    NotCheckedIn,
    NotConfirmed,
    TooEarly,
    TooLate,
    WrongStatus,
)
from server.core.cipher import Cipher
from server.core.errors import Invalid, NotFound
from server.core.limits import UPLOADING
from server.core.routes import Access, Reply, Route, as_doctor, as_patient, delete, get, post, put, signed_in, upload
from server.core.settings import Settings
from server.core.tx import Role

as_either = Access("patient or doctor", frozenset({Role.PATIENT, Role.DOCTOR}))
party = signed_in.and_("party to the consultation", party_to_consultation)
member = as_either.and_("patient or doctor of the consultation", patient_or_doctor)
reader = as_either.and_("patient or treating doctor of the consultation", reader_of_consultation)
its_patient = as_patient.and_("patient of the consultation", patient_of_consultation)
its_doctor = as_doctor.and_("doctor of the consultation", doctor_of_consultation)
treating = as_doctor.and_("treating doctor of the consultation", treating_doctor)

READ = "consultations:read"
WRITE = "consultations:write"
CHAT = "messages"


def routes(cipher: Cipher, settings: Settings) -> list[Route]:
    """The lines of consultations."""
    tags = ["consultations"]
    chat = ["chat"]
    return [
        get("/consultations", list_consultations, access=signed_in, scope=READ, raises=[Invalid], tags=tags),
        get("/consultations/{id}", get_consultation, access=party, scope=READ, raises=[NotFound], tags=tags),
        get("/consultations/{id}/waiting", waiting_place, access=member, scope=READ, raises=[NotFound], tags=tags),
        post(
            "/consultations/{id}/check-in",
            partial(check_in, cipher=cipher, settings=settings),
            access=its_patient,
            scope=WRITE,
            raises=[NotFound, NotConfirmed, TooEarly, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/leave",
            partial(leave_waiting, cipher=cipher),
            access=its_patient,
            scope=WRITE,
            raises=[NotFound, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/call",
            partial(call_patient, cipher=cipher, settings=settings),
            access=its_doctor,
            scope=WRITE,
            raises=[NotFound, NotCheckedIn, TooEarly, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/skip",
            partial(skip_patient, cipher=cipher),
            access=its_doctor,
            scope=WRITE,
            raises=[NobodyBehind, NotFound, NotCheckedIn, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/put-back",
            partial(put_back_patient, cipher=cipher),
            access=its_doctor,
            scope=WRITE,
            raises=[NotFound, NotCheckedIn, WrongStatus],
            tags=tags,
        ),
        put(
            "/consultations/{id}/readiness",
            partial(tell_readiness, cipher=cipher),
            access=its_patient,
            scope=WRITE,
            raises=[NotFound],
            tags=tags,
        ),
        get("/queue", partial(own_queue, cipher=cipher), access=as_doctor, scope=READ, raises=[NotFound], tags=tags),
        put("/queue/notice", tell_delay, access=as_doctor, scope=WRITE, raises=[NotFound], tags=tags),
        delete("/queue/notice", end_delay, access=as_doctor, scope=WRITE, raises=[NotFound], tags=tags),
        post(
            "/consultations/{id}/start",
            partial(start_consultation, cipher=cipher),
            access=its_doctor,
            scope=WRITE,
            raises=[NotFound, NotCalled, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/complete",
            partial(complete_consultation, cipher=cipher),
            access=its_doctor,
            scope=WRITE,
            raises=[NotFound, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/no-show",
            partial(mark_no_show, cipher=cipher),
            access=its_doctor,
            scope=WRITE,
            raises=[NotFound, NotConfirmed, CheckedIn, TooEarly, WrongStatus],
            tags=tags,
        ),
        post(
            "/consultations/{id}/reopen",
            partial(reopen_consultation, cipher=cipher),
            access=its_doctor,
            scope=WRITE,
            raises=[NotFound, TooLate, WrongStatus],
            tags=tags,
        ),
        get(
            "/consultations/{id}/messages",
            partial(list_messages, cipher=cipher),
            access=reader,
            scope=f"{CHAT}:read",
            raises=[NotFound],
            tags=chat,
        ),
        post(
            "/consultations/{id}/messages",
            partial(write_message, cipher=cipher),
            status=201,
            access=reader,
            scope=f"{CHAT}:write",
            raises=[Invalid, NotFound, NotConfirmed, TooLate, WrongStatus],
            tags=chat,
        ),
        get(
            "/consultations/{id}/attachments",
            partial(list_attachments, cipher=cipher),
            access=reader,
            scope=f"{CHAT}:read",
            raises=[NotFound],
            tags=chat,
        ),
        post(
            "/consultations/{id}/attachments",
            partial(attach_file, cipher=cipher, settings=settings),
            status=201,
            access=reader,
            scope=f"{CHAT}:write",
            body=upload(max_mb=10),
            budget=UPLOADING,
            raises=[FileRefused, NotFound, NotConfirmed, NothingIsKept, TooLate, TooManyFiles, WrongStatus],
            tags=chat,
        ),
        get(
            "/consultations/{id}/attachments/{attachment_id}",
            partial(download_attachment, cipher=cipher, settings=settings),
            access=reader,
            scope=f"{CHAT}:read",
            reply=Reply("download", media_type="application/octet-stream"),
            raises=[NotChecked, NotFound, NothingIsKept],
            tags=chat,
        ),
        get(
            "/consultations/{id}/notes",
            partial(list_notes, cipher=cipher),
            access=treating,
            scope="notes:read",
            raises=[NotFound],
            tags=["notes"],
        ),
        post(
            "/consultations/{id}/notes",
            partial(write_note, cipher=cipher),
            status=201,
            access=treating,
            scope="notes:write",
            raises=[NotFound],
            tags=["notes"],
        ),
    ]

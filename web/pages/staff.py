"""The pages of doctors (queue) and of administrators (doctors, users, the trail)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import partial
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import StringConstraints

from server.accounts import ListUsers, UserAsk, disable_user, list_users
from server.audit import ListAudit, list_audit
from server.consultations import ListConsultations, Meeting, Status, list_meetings, own_queue
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.errors import Forbidden, Invalid, Problem
from server.core.ids import DoctorId, UserId
from server.core.models import Ask, Nothing
from server.core.outbox import room_offset
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_admin, as_doctor, form, get, page, post, redirect
from server.core.settings import Settings
from server.core.tx import Role, Run, Tx
from server.doctors import (
    DoctorAsk,
    InviteDoctor,
    ListManaged,
    doctor,
    invite_doctor,
    list_managed_doctors,
    verify_doctor,
)
from web.staff_views import (
    AdminAuditView,
    AdminDoctorsView,
    AdminUsersView,
    AuditItem,
    ManagedDoctorItem,
    PlannedItem,
    QueueItem,
    QueueView,
    UserItem,
)
from web.views import DoctorItem, NoticeItem

DONE_SHOWN = 8
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=400), Level.CRITICAL]


class ShowUsers(Ask):
    """Filter and cursor."""

    role: Text = ""
    cursor: Text = ""


class ShowAudit(Ask):
    """Filter and cursor."""

    table: Text = ""
    row: Text = ""
    cursor: Text = ""


class ShowDoctors(Ask):
    """Cursor."""

    cursor: Text = ""


class OneDoctor(Ask):
    """A doctor."""

    id: DoctorId


class OneUser(Ask):
    """A user."""

    id: UserId


class InviteForm(Ask):
    """A new doctor. Languages are codes, separated by commas; the fee is in whole units."""

    email: Text = ""
    name: Text = ""
    specialty: Text = ""
    languages: Text = "en, hi"
    registration_number: Text = ""
    fee: Text = "0"


async def show_queue(tx: Tx, ask: Nothing, *, cipher: Cipher) -> QueueView:
    """The doctor's day: who is in the call, who waits, who is to come."""
    doctor_id = _own(tx)
    queue = await own_queue(tx, ask, cipher=cipher)
    items = [QueueItem.model_validate(entry) for entry in queue.entries]
    zone = ZoneInfo(tx.actor.time_zone)
    midnight = datetime.combine(tx.now.astimezone(zone).date(), time(), zone)
    past = await list_meetings(tx, ListConsultations(status=Status.COMPLETED, limit=50), cipher=cipher)
    coming = await list_meetings(tx, ListConsultations(status=Status.PENDING, when="upcoming", limit=50), cipher=cipher)
    today = {item.consultation_id for item in items}
    return QueueView(
        doctor=DoctorItem.model_validate(await doctor(tx, doctor_id)),
        waiting=sorted((item for item in items if item.position is not None), key=lambda item: item.position or 0),
        in_call=[item for item in items if item.called_at is not None or item.status == "ACTIVE"],
        to_come=[
            item for item in items if item.checked_in_at is None and item.called_at is None and item.status == "PENDING"
        ],
        later=[
            _planned(found)
            for found in coming.items
            if found.consultation.confirmed_at is not None
            and found.consultation.id not in today
            and found.consultation.start_time >= midnight + timedelta(days=1)
        ],
        done=[_planned(found) for found in past.items[:DONE_SHOWN]],
        seen=sum(
            1
            for found in past.items
            if found.consultation.ended_at is not None and found.consultation.ended_at >= midnight
        ),
        notice=NoticeItem.model_validate(queue.notice) if queue.notice else None,
        room=f"queue:{doctor_id}",
        offset=await room_offset(tx, f"queue:{doctor_id}"),
    )


async def to_doctors(tx: Tx, ask: Nothing) -> SeeOther:
    """The administrators' first page."""
    del tx, ask
    return SeeOther(location="/admin/doctors")


async def show_doctors(tx: Tx, ask: ShowDoctors) -> AdminDoctorsView:
    """The doctors, and the form to invite one."""
    return await _doctors(tx, ask.cursor)


async def invite_by_form(run: Run, ask: InviteForm, *, cipher: Cipher) -> SeeOther | AdminDoctorsView:
    """Invite a doctor: a mail goes out, and the profile waits for its check."""
    fields: dict[str, object] = {
        **ask.model_dump(exclude={"languages", "fee"}),
        "languages": [code.strip() for code in ask.languages.split(",") if code.strip()],
        "fee": int(ask.fee) * 100 if ask.fee.isdigit() else ask.fee,
    }
    try:
        await run(partial(invite_doctor, cipher=cipher), build(InviteDoctor, fields))
    except Problem as problem:
        return (await run.read(show_doctors, ShowDoctors())).refused(problem, **ask.model_dump())
    return SeeOther(location="/admin/doctors", notice="saved")


async def verify_by_form(tx: Tx, ask: OneDoctor) -> SeeOther:
    """The registration number was checked: the doctor is listed."""
    await verify_doctor(tx, DoctorAsk(id=ask.id))
    return SeeOther(location="/admin/doctors", notice="saved")


async def show_users(tx: Tx, ask: ShowUsers, *, cipher: Cipher) -> AdminUsersView:
    """The accounts, newest first."""
    role = Role(ask.role) if ask.role in ("ADMIN", "DOCTOR", "PATIENT") else None
    users = await list_users(tx, ListUsers(role=role, cursor=ask.cursor or None), cipher=cipher)
    return AdminUsersView(
        users=[UserItem.model_validate(user) for user in users.items],
        role=ask.role,
        next_url=f"/admin/users?role={ask.role}&cursor={users.next_cursor}" if users.next_cursor else None,
    )


async def disable_by_form(tx: Tx, ask: OneUser, *, cipher: Cipher) -> SeeOther:
    """Close an account: its sessions and sockets end at once."""
    await disable_user(tx, UserAsk(id=ask.id), cipher=cipher)
    return SeeOther(location="/admin/users", notice="saved")


async def show_audit(tx: Tx, ask: ShowAudit) -> AdminAuditView:
    """The trail, newest first."""
    fields = {"table": ask.table, "row": ask.row, "cursor": ask.cursor}
    try:
        listed = await list_audit(tx, build(ListAudit, {name: value for name, value in fields.items() if value}))
    except Invalid:  # what was typed is no id: nothing fits it
        return AdminAuditView(rows=[], table=ask.table, row=ask.row)
    return AdminAuditView(
        rows=[AuditItem.model_validate(row) for row in listed.items],
        table=ask.table,
        row=ask.row,
        next_url=f"/admin/audit?table={ask.table}&row={ask.row}&cursor={listed.next_cursor}"
        if listed.next_cursor
        else None,
    )


async def _doctors(tx: Tx, cursor: str) -> AdminDoctorsView:
    listed = await list_managed_doctors(tx, ListManaged(cursor=cursor or None))
    return AdminDoctorsView(
        doctors=[ManagedDoctorItem.model_validate(item) for item in listed.items],
        next_url=f"/admin/doctors?cursor={listed.next_cursor}" if listed.next_cursor else None,
    )


def _planned(found: Meeting) -> PlannedItem:
    held = found.consultation
    return PlannedItem(consultation_id=held.id, patient_name=found.patient_name, start_time=held.start_time)


def _own(tx: Tx) -> DoctorId:
    if tx.actor.doctor_id is None:
        raise Forbidden
    return tx.actor.doctor_id


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The staff's pages."""
    doctors = page("staff/doctors.html")
    return [
        get("/queue", partial(show_queue, cipher=cipher), access=as_doctor, reply=page("staff/queue.html")),
        get("/admin", to_doctors, access=as_admin, reply=redirect),
        get("/admin/doctors", show_doctors, access=as_admin, reply=doctors),
        post("/admin/doctors", partial(invite_by_form, cipher=cipher), access=as_admin, body=form, reply=doctors),
        post("/admin/doctors/{id}/verify", verify_by_form, access=as_admin, body=form, reply=redirect),
        get("/admin/users", partial(show_users, cipher=cipher), access=as_admin, reply=page("staff/users.html")),
        post(
            "/admin/users/{id}/disable",
            partial(disable_by_form, cipher=cipher),
            access=as_admin,
            body=form,
            reply=redirect,
        ),
        get("/admin/audit", show_audit, access=as_admin, reply=page("staff/audit.html")),
    ]

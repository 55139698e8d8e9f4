"""What the pages of doctors and administrators show, and the paper that doctors write, as frozen models."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from server.prescriptions import PrescriptionSheet
from web.views import (
    ConsultationItem,
    DoctorItem,
    Form,
    Item,
    MeetingState,
    MessageItem,
    NoticeItem,
    PrescriptionItem,
    View,
)

WEEKDAYS = 7
MEDICINE_ROWS = 8


class ReadinessItem(Item):
    """What a patient's device check found: each ok, limited, none or unknown."""

    camera: str
    microphone: str
    speaker: str
    network: str


class QueueItem(Item):
    """One consultation of today, as the doctor's queue shows it; `position` counts those who wait, from 1."""

    consultation_id: UUID
    patient_name: str
    start_time: datetime
    status: str
    confirmed_at: datetime | None = None
    checked_in_at: datetime | None = None
    called_at: datetime | None = None
    started_at: datetime | None = None
    position: int | None = None
    queued_at: datetime | None = None
    let_go_first: bool = False
    readiness: ReadinessItem | None = None


class PlannedItem(Item):
    """A consultation of another day, or one that is over."""

    consultation_id: UUID
    patient_name: str
    start_time: datetime


class QueueView(View):
    """`/queue`: who is next, who waits, the day. The room keeps it true from `offset` on.

    `later` is what comes after today, soonest first; `done` what was seen lately, newest first.
    """

    doctor: DoctorItem
    waiting: Sequence[QueueItem]
    in_call: Sequence[QueueItem]
    to_come: Sequence[QueueItem]
    later: Sequence[PlannedItem] = ()
    done: Sequence[PlannedItem] = ()
    seen: int
    notice: NoticeItem | None = None
    room: str
    offset: int


class NoteItem(Item):
    """A doctor's own note."""

    id: UUID
    text: str
    created_at: datetime


class MedicineRow(Item):
    """What was typed into one row of the prescription."""

    name: str = ""
    dose: str = ""
    frequency: str = ""
    days: str = ""
    instruction: str = ""


class DoctorCallView(Form):
    """`/consultations/{id}` of its doctor: picture, chat, prescription, notes, finish."""

    template: ClassVar[str] = "staff/call.html"

    consultation: ConsultationItem
    doctor: DoctorItem
    patient_name: str
    state: MeetingState
    route: str = "direct"
    others: Sequence[DoctorItem] = ()
    read_by_other: int = 0
    more_before: bool = False
    messages: Sequence[MessageItem] = ()
    notes: Sequence[NoteItem] = ()
    prescriptions: Sequence[PrescriptionItem] = ()
    medicines: Sequence[MedicineRow] = ()
    diagnosis: str = ""
    complaints: str = ""
    advice: str = ""
    follow_up: str = ""
    allergies: str = ""
    room: str
    offset: int
    idempotency_key: str
    follow_up_key: str = ""


class ManagedDoctorItem(DoctorItem):
    """A doctor as administrators see them."""

    user_id: UUID
    verified_at: datetime | None = None


class AdminDoctorsView(Form):
    """`/admin`: the doctors, with who waits for the check of a registration; the invitation form."""

    doctors: Sequence[ManagedDoctorItem]
    next_url: str | None = None
    email: str = ""
    name: str = ""
    specialty: str = ""
    languages: str = "en, hi"
    registration_number: str = ""
    fee: str = ""


class UserItem(Item):
    """A user as administrators see them: nothing of class 4."""

    id: UUID
    role: str
    name: str
    email: str
    email_verified: bool
    mfa_enabled: bool
    disabled_at: datetime | None = None
    created_at: datetime


class AdminUsersView(View):
    """`/admin/users`."""

    users: Sequence[UserItem]
    role: str = ""
    next_url: str | None = None


class AuditItem(Item):
    """One row of the trail: which fields changed, never what they say."""

    id: UUID
    at: datetime
    actor_id: UUID | None = None
    actor_role: str | None = None
    source: str
    action: str
    table: str
    row_id: UUID | None = None
    changed: Sequence[str] = ()
    outcome: str


class AdminAuditView(View):
    """`/admin/audit`: who did what, newest first."""

    rows: Sequence[AuditItem]
    table: str = ""
    row: str = ""
    next_url: str | None = None


class PrescriptionView(View):
    """`/prescriptions/{id}`: the paper, for its patient and its doctor, with the addresses of its PDF per language."""

    id: UUID
    consultation_id: UUID
    sheet: PrescriptionSheet
    pdf_urls: Mapping[str, str]

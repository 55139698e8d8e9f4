"""What doctors takes and gives."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from server.accounts import EmailAddress, Language, PhoneNumber
from server.core.ids import DoctorId, UserId
from server.core.models import Ask, Currency, Instant, Line, Model, Name, Prose, TimeZone, Token
from server.core.privacy import Level
from server.doctors.languages import LanguageCode

PublicName = Annotated[Name, Level.PUBLIC]
Specialty = Annotated[Line, StringConstraints(max_length=80), Level.PUBLIC]
Registration = Annotated[Line, StringConstraints(max_length=80), Level.PUBLIC]
About = Annotated[Prose, StringConstraints(max_length=2000), Level.PUBLIC]
Languages = Annotated[list[LanguageCode], Field(min_length=1, max_length=12)]
Fee = Annotated[int, Field(ge=0, le=100_000_000)]
Cursor = Annotated[Token, StringConstraints(max_length=1200), Level.PUBLIC]


class PublicDoctor(Model):
    """A doctor as everybody may see them. `fee` in minor units of `currency`; languages are codes (hi, en, ta)."""

    id: DoctorId
    name: Annotated[str, Level.PUBLIC]
    specialty: Annotated[str, Level.PUBLIC]
    languages: Annotated[list[str], Level.PUBLIC]
    fee: int
    currency: Currency
    time_zone: TimeZone
    about: Annotated[str, Level.PUBLIC]
    registration_number: Annotated[str, Level.PUBLIC]
    walk_ins: bool = False


class ManagedDoctor(PublicDoctor):
    """A doctor as administrators and the doctor see them; without `verified_at` nobody else does."""

    user_id: UserId
    verified_at: Instant | None


class DoctorAsk(Ask):
    """One doctor."""

    id: DoctorId


class ListDoctors(Ask):
    """A page of doctors: of a specialty, speaking a language (code or name), with all words of `q`."""

    specialty: Specialty | None = None
    language: Annotated[Line, StringConstraints(max_length=40), Level.PUBLIC] | None = None
    q: Annotated[Line, Level.PUBLIC] | None = None
    cursor: Cursor | None = None


class Doctors(Model):
    """A page of doctors, by name."""

    items: list[PublicDoctor]
    next_cursor: Annotated[str, Level.PUBLIC] | None


class ListManaged(Ask):
    """A page of all doctors, unverified ones too."""

    cursor: Cursor | None = None


class ManagedDoctors(Model):
    """A page of all doctors, newest first."""

    items: list[ManagedDoctor]
    next_cursor: Annotated[str, Level.PUBLIC] | None


class ChangeDoctor(Ask):
    """What a doctor may change of their profile; absent is unchanged. The registration number is checked, so not it."""

    id: DoctorId
    name: PublicName | None = None
    specialty: Specialty | None = None
    languages: Languages | None = None
    about: About | None = None
    fee: Fee | None = None
    currency: Currency | None = None
    walk_ins: bool | None = None


class InviteDoctor(Ask):
    """A doctor's account and profile, made by an administrator. Listed only once verified."""

    email: EmailAddress
    name: PublicName
    specialty: Specialty
    languages: Languages
    registration_number: Registration
    fee: Fee = 0
    currency: Currency = "INR"
    about: About | None = None
    phone: PhoneNumber | None = None
    language: Language = "en"
    time_zone: TimeZone = "Asia/Kolkata"


class AddDoctor(Ask):
    """The profile of a user who is a doctor."""

    user_id: UserId
    name: PublicName
    specialty: Specialty
    languages: Languages
    registration_number: Registration
    fee: Fee = 0
    currency: Currency = "INR"
    about: About | None = None
    time_zone: TimeZone = "Asia/Kolkata"


class Page(Model):
    """Where a list of doctors goes on: after this name and id."""

    name: Annotated[str, Level.PUBLIC]
    id: UUID

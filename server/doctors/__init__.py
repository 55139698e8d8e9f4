"""Doctors: the profiles that patients search, and how a doctor comes to be listed."""

from server.doctors.change import change_doctor
from server.doctors.events import DoctorChanged, DoctorVerified
from server.doctors.invite import add_doctor, invite_doctor, verify_doctor
from server.doctors.languages import LANGUAGE_NAMES, LanguageCode, language_code
from server.doctors.list import (
    doctor,
    doctor_of_user,
    find_doctors,
    list_doctors,
    list_managed_doctors,
    profile,
    specialties,
)
from server.doctors.models import (
    AddDoctor,
    ChangeDoctor,
    DoctorAsk,
    Doctors,
    InviteDoctor,
    ListDoctors,
    ListManaged,
    ManagedDoctor,
    ManagedDoctors,
    PublicDoctor,
)
from server.doctors.routes import routes

__all__ = [
    "LANGUAGE_NAMES",
    "AddDoctor",
    "ChangeDoctor",
    "DoctorAsk",
    "DoctorChanged",
    "DoctorVerified",
    "Doctors",
    "InviteDoctor",
    "LanguageCode",
    "ListDoctors",
    "ListManaged",
    "ManagedDoctor",
    "ManagedDoctors",
    "PublicDoctor",
    "add_doctor",
    "change_doctor",
    "doctor",
    "doctor_of_user",
    "find_doctors",
    "invite_doctor",
    "language_code",
    "list_doctors",
    "list_managed_doctors",
    "profile",
    "routes",
    "specialties",
    "verify_doctor",
]

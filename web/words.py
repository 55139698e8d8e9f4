"""Words that code picks rather than a template: marked here for extraction, looked up where they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta


def _(message: str) -> str:
    return message


def pgettext(place: str, message: str) -> str:
    return message


NEAR_DAYS: Mapping[int, str] = {0: _("Today"), 1: _("Tomorrow"), -1: _("Yesterday")}


def ngettext(one: str, many: str) -> tuple[str, str]:
    return one, many


IN_MINUTES = ngettext("in %(num)s minute", "in %(num)s minutes")
IN_HOURS = ngettext("in %(num)s hour", "in %(num)s hours")

FREE = _("free of charge")

# A span that is wider tells nobody anything.
WIDEST_SPAN = timedelta(minutes=90)

# What a doctor tells all who wait, by the reason.
DELAY_NOTICES: Mapping[str, str] = {
    "late": _("%(doctor)s is about %(minutes)s minutes late, and goes on at about %(time)s."),
    "emergency": _("%(doctor)s was called to an emergency, and goes on at about %(time)s."),
    "technical": _("%(doctor)s has a technical problem, and goes on at about %(time)s."),
    "break": _("%(doctor)s takes a short break, and goes on at about %(time)s."),
}
DELAY_REASONS: Mapping[str, str] = {
    "late": _("I am running late"),
    "emergency": _("An emergency"),
    "technical": _("A technical problem"),
    "break": _("A short break"),
}
# What a device check found, for the doctor: only what is worth a thought before the call.
READINESS: Mapping[tuple[str, str], str] = {
    ("camera", "none"): _("no camera"),
    ("camera", "limited"): _("poor picture"),
    ("microphone", "none"): _("no microphone"),
    ("microphone", "limited"): _("faint microphone"),
    ("speaker", "none"): _("no sound"),
    ("speaker", "limited"): _("faint sound"),
    ("network", "none"): _("no connection"),
    ("network", "limited"): _("slow connection"),
}

CHECKED_IN = _("You are checked in.")
PLACES = (
    _("You are first now."),
    _("You are second."),
    _("You are third."),
    _("You are fourth."),
    _("You are fifth."),
)
LATER_PLACE = _("You are number %(number)s.")
BEFORE_YOU = ngettext("One person is before you.", "%(num)s people are before you.")
STAY_NEAR = _("Please stay near the phone.")
DOCTOR_KNOWS = _("%(doctor)s knows that you are here.")

# What is seen (time, state) comes first and unbroken, so that it can be spoken to voice control.
SLOT_LABEL = _("%(time)s %(state)s, %(day)s, %(zone)s, %(doctor)s")
SLOT_STATES: Mapping[str, str] = {
    "free": pgettext("slot", "free"),
    "taken": pgettext("slot", "taken"),
    "past": pgettext("slot", "past"),
    "chosen": pgettext("slot", "chosen"),
}

# What a profile may name as its specialty; another word is shown as it was written.
SPECIALTIES = (
    pgettext("specialty", "General physician"),
    pgettext("specialty", "General medicine"),
    pgettext("specialty", "Child specialist"),
    pgettext("specialty", "Paediatrics"),
    pgettext("specialty", "Skin and hair"),
    pgettext("specialty", "Dermatology"),
    pgettext("specialty", "Women’s health"),
    pgettext("specialty", "Gynaecology"),
    pgettext("specialty", "Diabetes and blood pressure"),
    pgettext("specialty", "Cardiology"),
    pgettext("specialty", "Stomach and digestion"),
    pgettext("specialty", "Sleep and mind"),
    pgettext("specialty", "Psychiatry"),
    pgettext("specialty", "Bones and joints"),
    pgettext("specialty", "Orthopaedics"),
    pgettext("specialty", "Ear, nose and throat"),
    pgettext("specialty", "Ayurveda"),
)

SPECIALTY_ICONS: Mapping[str, str] = {
    "General physician": "thermometer",
    "General medicine": "thermometer",
    "Child specialist": "child",
    "Paediatrics": "child",
    "Skin and hair": "drop",
    "Dermatology": "drop",
    "Women’s health": "woman",
    "Gynaecology": "woman",
    "Diabetes and blood pressure": "heart",
    "Cardiology": "heart",
    "Stomach and digestion": "stomach",
    "Sleep and mind": "moon",
    "Psychiatry": "moon",
}

NOTICES: Mapping[str, str] = {
    "booked": _("Booked. We sent the details to your e-mail address."),
    "paid": _("Booked and paid. We sent the details to your e-mail address."),
    "cancelled": _("It is cancelled. What comes back to you is on its way."),
    "handed-on": _("Handed on. The patient is told, and the payment goes along."),
    "moved": _("Moved to the new time. The payment goes along."),
    "waiting": _("You are on the list. We tell you as soon as a time is free."),
    "declined": _("The next in line is asked. You stay on the list for other times."),
    "follow-up": _("Booked. The patient is told by mail."),
    "saved": _("Saved."),
    "logged-out": _("You are logged out."),
    "verified": _("Your e-mail address is confirmed. You can log in now."),
    "password-set": _("Your password is set. You can log in now."),
    "mfa-on": _("The second step is on."),
    "session-ended": _("That session has ended."),
    "mail-sent": _("A mail is on its way. Its link shows us that mails reach you again."),
    "device-removed": _("That device is told nothing any more."),
    "address-undeliverable": _(
        "Our mails to you come back. Under “What we tell you” on your account page you can mend it."
    ),
}

TITLES = frozenset({"dr", "dr.", "mr", "mrs", "ms", "prof", "डॉ", "श्री", "श्रीमती"})

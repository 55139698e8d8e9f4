"""Problems and field errors in words for people, by their stable codes; pages translate them."""

from __future__ import annotations

from collections.abc import Mapping


def _(message: str) -> str:
    return message


# code: what happened; what it means and what can be done
PROBLEMS: Mapping[str, tuple[str, str]] = {
    "slot-taken": (
        _("This time is no longer free."),
        _("Someone was a moment faster. Nothing was charged, and what you wrote is kept."),
    ),
    "too-late": (
        _("This time has passed."),
        _("It is too close to its beginning, or over. Nothing was charged. Choose another time."),
    ),
    "too-late-to-book": (
        _("This time has passed."),
        _("It is too close to its beginning, or over. Nothing was charged. Choose another time."),
    ),
    "leave-has-consultations": (
        _("There are consultations in this time."),
        _("Say first what becomes of them. Nothing was changed."),
    ),
    "patient-busy": (
        _("You have another consultation then."),
        _("Nobody can be in two places at once. Choose another time, or move the other one."),
    ),
    "daily-limit": (
        _("That is enough for one day."),
        _("You have booked as many consultations for that day as one person can. Choose another day."),
    ),
    "address-unverified": (
        _("Your e-mail address is not confirmed yet."),
        _("Open the mail that we sent you and press the button on its page, then book."),
    ),
    "not-verified": (
        _("Your e-mail address is not confirmed yet."),
        _("Open the mail that we sent you and press the button on its page, then book."),
    ),
    "slot-passed": (
        _("This time has passed."),
        _("It is too close to its beginning, or over. Nothing was charged. Choose another time."),
    ),
    "beyond-horizon": (
        _("This day is too far ahead."),
        _("It cannot be booked yet. Choose an earlier day."),
    ),
    "doctor-day-full": (
        _("This doctor has no more room on that day."),
        _("Nothing was charged. Choose another day."),
    ),
    "not-to-be-moved": (
        _("This consultation cannot be moved any more."),
        _("It has begun, is over, or is not paid. You can book a new one."),
    ),
    "doctor-busy": (
        _("There is no room at that time."),
        _("Nothing was booked. Choose another time."),
    ),
    "no-walk-ins": (
        _("This doctor sees patients by appointment."),
        _("Choose one of the free times."),
    ),
    "no-offer": (
        _("This offer is over."),
        _("The time to answer has passed, or it was answered. You stay on the list."),
    ),
    "too-many-wishes": (
        _("You are on many waitlists already."),
        _("Leave one of them first; then there is room for another."),
    ),
    "other-doctor": (
        _("This time belongs to another doctor."),
        _("A consultation can be moved only to another time of the same doctor."),
    ),
    "too-many-tries": (
        _("Too many tries."),
        _("For your safety this rests for a moment. Nothing was changed."),
    ),
    "too-early": (
        _("The waiting room is not open yet."),
        _("It opens half an hour before your time. Come back then."),
    ),
    "not-confirmed": (
        _("The payment is missing."),
        _("Pay first; then the waiting room opens."),
    ),
    "wrong-status": (
        _("This is not possible any more."),
        _("Something changed meanwhile. Look at the page as it is now."),
    ),
    "checked-in": (
        _("You are in the waiting room."),
        _("Who has checked in is not a no-show."),
    ),
    "totp-enrolled": (
        _("The second step is on already."),
        _("There is nothing more to do."),
    ),
    "consent-withdrawn": (
        _("Your consent is missing."),
        _("Without your yes the doctor may not begin."),
    ),
    "consent-missing": (
        _("Your consent is missing."),
        _("Without your yes the doctor may not begin."),
    ),
    "wrong-password": (
        _("E-mail and password do not fit together."),
        _("Try again. If you are new here, make an account."),
    ),
    "otp-wrong": (
        _("This code is not right."),
        _("Wait for the next one, at most 30 seconds, and type it again."),
    ),
    "otp-required": (
        _("Your six digits"),
        _("Open the authenticator app on your phone and type the code shown for Amrutam."),
    ),
    "link-over": (
        _("This link is no longer valid."),
        _("It was used already, or too much time has passed. Ask for a new one."),
    ),
    "step-up-required": (
        _("Please confirm that it is you."),
        _("For this we need your password once more."),
    ),
    "unauthenticated": (
        _("Please log in."),
        _("This page belongs to somebody. Log in, and you come back to it."),
    ),
    "forbidden": (
        _("This is not yours to do."),
        _("You are logged in, but this belongs to another role."),
    ),
    "foreign-request": (
        _("This form was too old."),
        _("For your safety nothing was done. Go back, load the page anew and send it again."),
    ),
    "not-found": (
        _("We cannot find this page."),
        _("The address may be old, or it belongs to somebody else."),
    ),
    "conflict": (
        _("This is not possible any more."),
        _("Something changed meanwhile. Look at the page as it is now."),
    ),
    "rate-limited": (
        _("Too many tries."),
        _("For your safety this rests for a moment. Nothing was changed."),
    ),
    "invalid": (
        _("Something is missing or not right."),
        _("Nothing that you wrote is lost. Look at the marked places."),
    ),
    "internal": (
        _("That is our fault."),
        _("Something broke on our side. What you did is saved. Try again in a minute, or phone us."),
    ),
    "unavailable": (
        _("This does not work for a moment."),
        _("A part of our house is away. Nothing was changed. Try again in a minute."),
    ),
}

FIELD_ERRORS: Mapping[str, str] = {
    "missing": _("Please fill this in."),
    "string_too_short": _("This is too short."),
    "string_too_long": _("This is too long."),
    "value_error": _("This is not in the right form."),
    "int_type": _("This is not in the right form."),
    "string_pattern_mismatch": _("This is not in the right form."),
    "email": _("This is not an e-mail address: it has an @ and a dot after it."),
    "phone": _("This is not a phone number: a mobile number has 10 digits."),
    "too-short": _("This is too short: take at least 10 characters."),
    "too-long": _("This is too long."),
    "order": _("It must end after it begins."),
    "past": _("This time is over."),
    "overlap": _("These hours overlap others."),
    "empty": _("It must end after it begins."),
    "no-slot-fits": _("No time fits into these hours."),
    "too-far": _("Times are not made so far ahead."),
    "int_parsing": _("This is not in the right form."),
    "greater_than_equal": _("This is too little."),
    "less_than_equal": _("This is too much."),
    "common": _("Many people use this password. Take a few words that only you would put together."),
    "own-words": _("This password holds your own name or address. Take other words."),
    "otp-wrong": _("This code is not right, or was used already. Wait for the next one, at most 30 seconds."),
    "required": _("Please fill this in."),
    "wrong-password": _("E-mail and password do not fit together."),
    "consent": _("Without your yes the doctor may not begin."),
}

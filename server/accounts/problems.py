"""What can go wrong with accounts."""

from __future__ import annotations

from server.core.errors import Conflict, Invalid, NotFound, Unauthenticated


class WrongPassword(Unauthenticated):
    """The address or the password is not right. Which of the two is not said."""

    code = "wrong-password"
    title = "The address or the password is not right."


class OtpRequired(Unauthenticated):
    """The password is right; now the code of the authenticator (or a recovery code) is needed, as `otp`."""

    code = "otp-required"
    title = "Please enter the code of your authenticator."


class OtpWrong(Unauthenticated):
    """The code is not right, too old, or was used already."""

    code = "otp-wrong"
    title = "This code is not right."


class AddressUnverified(Unauthenticated):
    """The password is right, but the address was not confirmed yet: open the link in the mail."""

    code = "address-unverified"
    title = "Please confirm your e-mail address first."


class LinkOver(NotFound):
    """This link was used, is too old, or is not whole. Ask for a new one."""

    code = "link-over"
    title = "This link does not work any more."


class FirstCodeWrong(Invalid):
    """The code does not fit the new authenticator. Check the clock of the telephone."""

    code = "otp-wrong"
    title = "This code is not right."


class TotpEnrolled(Conflict):
    """A second factor is on already; switch it off first."""

    code = "totp-enrolled"
    title = "Your second factor is on already."


class TotpAbsent(Conflict):
    """There is no authenticator to confirm or to switch off."""

    code = "totp-absent"
    title = "There is no second factor."


class AddressTaken(Conflict):
    """This address has an account already."""

    code = "address-taken"
    title = "This address has an account already."


class NotYourself(Conflict):
    """An administrator cannot disable the account they act with."""

    code = "not-yourself"
    title = "You cannot disable your own account."

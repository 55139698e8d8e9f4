"""E-mail addresses and phone numbers: kept as typed (mail goes there), found by their normal form."""

from __future__ import annotations

import unicodedata
from typing import Annotated

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, StringConstraints

from server.core.models import Line
from server.core.privacy import Level


def normal_email(typed: str) -> str:
    """The form that makes two spellings one account: NFKC, case folded, without spaces around."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed.strip()).casefold())


def _email(typed: str) -> str:
    try:
        validate_email(normal_email(typed), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise ValueError("must be an e-mail address, as asha@example.org") from None
    return typed


def _phone(typed: str) -> str:
    # Without a country code it is read as an Indian number.
    try:
        number = phonenumbers.parse(unicodedata.normalize("NFKC", typed), "IN")
    except phonenumbers.NumberParseException:
        raise ValueError("must be a phone number, as +91 98765 43210") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("must be a phone number, as +91 98765 43210")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


EmailAddress = Annotated[Line, StringConstraints(max_length=254), AfterValidator(_email), Level.SENSITIVE]
PhoneNumber = Annotated[Line, StringConstraints(max_length=40), AfterValidator(_phone), Level.SENSITIVE]

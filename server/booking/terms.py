"""What of the fee comes back when a consultation is cancelled now: said before, and kept to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from server.consultations import Consultation, OfConsultation, consultation, refund_percent
from server.core.models import Currency, Instant, Model
from server.core.privacy import Level
from server.core.settings import Settings
from server.core.tx import Role, Tx
from server.payments import payment_of, returnable

Rule = Annotated[Literal["full", "partial", "none", "nothing-paid"], Level.INTERNAL]


class Cancellation(Model):
    """What comes back, in minor units, by which rule, and until when that holds; None: until the consultation begins,
    or for good."""

    refund_minor: int
    currency: Currency
    rule: Rule
    until: Instant | None


async def read_cancellation(tx: Tx, ask: OfConsultation, *, settings: Settings) -> Cancellation:
    """What the one who asks would give up by cancelling now. Raises NotFound."""
    return await cancellation(tx, await consultation(tx, ask.id), settings)


async def cancellation(tx: Tx, held: Consultation, settings: Settings) -> Cancellation:
    """The terms of now, for the one who acts: a doctor's or an administrator's cancellation gives all back."""
    payment = await payment_of(tx, held.id)
    left = sum((await returnable(tx, payment)).values()) if payment is not None else 0
    if left == 0:
        return Cancellation(refund_minor=0, currency=held.payment.currency, rule="nothing-paid", until=None)
    percent, until = await percent_of(tx, held, settings)
    back = min(left, part_of(held.payment.amount, percent)) if percent < 100 else left
    rule = "full" if percent == 100 else "none" if percent == 0 else "partial"
    return Cancellation(refund_minor=back, currency=held.payment.currency, rule=rule, until=until)


async def percent_of(tx: Tx, held: Consultation, settings: Settings) -> tuple[int, datetime | None]:
    """How much of a hundred comes back, and the moment from which it is less."""
    if tx.actor.role is not Role.PATIENT or _is_kept_waiting(held, tx.now):
        return 100, None
    most = await refund_percent(tx, held.id)
    return steps(tx.now, held.start_time, most, settings)


def steps(now: datetime, start: datetime, most: int, settings: Settings) -> tuple[int, datetime | None]:
    """The house's rule by lead time, each boundary included; `most` percent at most."""
    full_until = start - timedelta(hours=settings.full_refund_hours)
    part_until = start - timedelta(hours=settings.part_refund_hours)
    part = min(most, settings.cancel_partial_percent) if part_until > full_until else 0
    if most > 0 and now <= full_until:
        return most, (full_until if part < most else part_until)
    if part > 0 and now <= part_until:
        return part, part_until
    return 0, None


def _is_kept_waiting(held: Consultation, now: datetime) -> bool:
    """The patient sits in the waiting room and the doctor is late: this is not the patient's cancellation."""
    return held.checked_in_at is not None and held.called_at is None and now > held.start_time


def part_of(amount_minor: int, percent: int) -> int:
    """Rounded in the patient's favour."""
    return -(-amount_minor * percent // 100)

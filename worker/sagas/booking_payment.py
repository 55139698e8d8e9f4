"""Booking and payment: booked, to be paid -> the gateway's order; money in -> confirmed, or sent back; expired -> the
slot is free.

Choreography: each step hears one event. The file, read from top to bottom, is the story; what is written to the
patient on the way stands in letters.py.
"""

from __future__ import annotations

from server.booking import ConfirmPaid, ConsultationMoved, confirm_paid
from server.consultations import ConsultationCancelled, ConsultationConfirmed
from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.notifications import drop_reminders, plan_reminders
from server.payments import (
    AskForOrder,
    CloseOrder,
    Gateways,
    PaymentCaptured,
    PaymentOrderDue,
    PaymentRefundDue,
    RefundAtGateway,
    ask_gateway_for_order,
    close_order_at_gateway,
    refund_at_gateway,
)
from worker.registry import on


@on(PaymentOrderDue)
async def ask_for_order(run: Run, event: PaymentOrderDue, *, gateways: Gateways, settings: Settings) -> None:
    """Open the order that the patient will pay. A request never waits for a gateway."""
    ask = AskForOrder(consultation_id=event.consultation_id)
    await ask_gateway_for_order(run, ask, gateways=gateways, settings=settings)


@on(PaymentCaptured)
async def confirm_what_is_paid(tx: Tx, event: PaymentCaptured, *, cipher: Cipher) -> None:
    """Confirm the consultation; money for a place that is sold goes back."""
    await confirm_paid(tx, ConfirmPaid(payment_id=event.payment_id), cipher=cipher)


@on(ConsultationConfirmed)
async def schedule_reminders(tx: Tx, event: ConsultationConfirmed) -> None:
    """Ask for reminders a day, an hour and ten minutes ahead; those already past are skipped."""
    await plan_reminders(tx, event.consultation_id)


@on(ConsultationMoved)
async def move_reminders(tx: Tx, event: ConsultationMoved) -> None:
    """Each reminder goes out once, for the time that is true then."""
    await plan_reminders(tx, event.consultation_id)


@on(ConsultationCancelled)
async def stop_reminders(tx: Tx, event: ConsultationCancelled) -> None:
    """A cancelled consultation reminds nobody."""
    await drop_reminders(tx, event.consultation_id)


@on(ConsultationCancelled)
async def close_order(run: Run, event: ConsultationCancelled, *, gateways: Gateways) -> None:
    """Nobody is to pay for what will not take place."""
    await close_order_at_gateway(run, CloseOrder(consultation_id=event.consultation_id), gateways=gateways)


@on(PaymentRefundDue)
async def give_money_back(run: Run, event: PaymentRefundDue, *, gateways: Gateways) -> None:
    """Ask the gateway for the return, with this step's key: repeated, it is the same return."""
    ask = RefundAtGateway(
        payment_id=event.payment_id, provider_payment=event.provider_payment, refund_id=event.refund_id
    )
    await refund_at_gateway(run, ask, gateways=gateways)

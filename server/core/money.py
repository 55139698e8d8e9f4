"""Money: integer minor units and an ISO 4217 code, never a float, never without its currency."""

from __future__ import annotations

from server.core.models import Currency, Model


class Money(Model):
    """An amount in minor units (paise, cents) of a currency."""

    amount_minor: int
    currency: Currency

"""By which ways somebody hears of what: their wishes, their quiet, addresses where nobody is, news that is no news."""

from __future__ import annotations

import pytest

from tests.house import Cast
from tests.test_letters import ALL_DONE, letter
from tests.test_payments_late import expired
from tests.test_payments_refunds import gone_back, report


@pytest.mark.parametrize(("language", "words"), [("en", "no longer kept for you"), ("hi", "रखा नहीं रह गया था")])
async def test_who_paid_too_late_is_told_why_and_where_other_times_are(cast: Cast, language: str, words: str) -> None:
    assert (await cast.asha.patch("/me", language=language)).status == 200
    booked = await expired(cast)
    assert (await cast.vik.post("/consultations", slot_id=booked["slot_id"])).status == 201
    assert (await report(cast, booked["payment"], "payment.captured", "pay_late")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    mail = await letter(cast.house, "refunded:%:mail")
    assert words in mail.text
    free_times = f"/doctors/{cast.dr_sen.me['doctor_id']}"
    assert f"\n{cast.house.settings.public_url}{free_times}\n" in mail.text
    assert (await cast.house.stranger().call("GET", f"//{free_times[1:]}")).status == 200


async def test_money_that_was_paid_twice_comes_back_without_talk_of_other_times(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    assert (await report(cast, booked["payment"], "payment.captured", "pay_second")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    mail = await letter(cast.house, "refunded:%:mail")
    await cast.house.until(ALL_DONE)
    assert "http" not in mail.text
    assert "\n\n\n" not in mail.text

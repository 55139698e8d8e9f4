"""SMS: one each, short, tried again while Twilio is away, and reported on by who can sign for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from server.core.settings import Settings
from tests.conftest import PASSWORD
from tests.house import Cast, House, open_house_of
from tests.outside import Twilio
from tests.outside.twilio import SENDER
from tests.test_letters import ALL_DONE, remind_now

NUMBER = "+919876543210"
STATE = "select state, error from notifications where channel = 'sms' and state <> 'queued'"


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as running:
        yield running


@pytest.fixture
async def sending(twilio: Twilio, settings: Settings, owner_url: str) -> AsyncIterator[Cast]:
    """Asha, who has a telephone, in a house that sends SMS."""
    async with open_house_of(twilio.settings(settings), owner_url) as house:
        cast = await Cast.sign_in(house, PASSWORD)
        assert (await cast.asha.patch("/me", phone=NUMBER)).status == 200
        yield cast


async def state_of(house: House) -> dict[str, str]:
    """What became of the one SMS, once it is known."""
    [row] = await house.until(STATE)
    return row


async def test_an_sms_goes_out_once_and_names_neither_doctor_nor_illness(sending: Cast, twilio: Twilio) -> None:
    house = sending.house
    await sending.confirmed(sending.asha, sending.dr_rao, reason="canary-31aa")
    assert await state_of(house) == {"state": "sent", "error": None}
    [sms] = twilio.taken
    assert (sms["To"], sms["From"]) == (NUMBER, SENDER)
    assert sms["StatusCallback"] == f"{house.settings.public_url}/api/v1/notifications/status/twilio"
    doctor = (await house.sql("select name, specialty from doctors where id = $1", sending.dr_rao.me["doctor_id"]))[0]
    assert sms["Body"].startswith("Amrutam: ")
    for told in ("canary", doctor["specialty"], doctor["name"], doctor["name"].split()[-1]):
        assert told not in sms["Body"]


async def test_an_sms_that_could_not_be_handed_over_is_tried_again(sending: Cast, twilio: Twilio) -> None:
    twilio.trouble += [(503, 0), (429, 20429), (401, 20003)]
    await sending.confirmed(sending.asha, sending.dr_rao)
    for tries in (1, 2, 3):
        await sending.house.until("select 1 from dispatches where tries = $1 and due_at is not null", tries)
        await sending.house.sql("update dispatches set due_at = now()")
    assert (await state_of(sending.house))["state"] == "sent"
    assert (twilio.asked, len(twilio.taken)) == (4, 1)
    assert await sending.house.value("select count(*) from dispatches where due_at is not null") == 0


@pytest.mark.parametrize(("code", "state"), [(21211, "bounced"), (21610, "bounced"), (21617, "failed")])
async def test_a_number_that_takes_no_sms_is_not_tried_again(
    sending: Cast, twilio: Twilio, code: int, state: str
) -> None:
    twilio.trouble.append((400, code))
    await sending.confirmed(sending.asha, sending.dr_rao)
    assert await state_of(sending.house) == {"state": state, "error": f"twilio-{code}"}
    assert twilio.asked == 1


async def test_reports_say_what_became_of_it_in_any_order(sending: Cast, twilio: Twilio) -> None:
    house = sending.house
    await sending.confirmed(sending.asha, sending.dr_rao)
    assert (await state_of(house))["state"] == "sent"
    for status, state in (
        ("sending", "sent"),
        ("undelivered", "bounced"),
        ("delivered", "delivered"),
        ("sent", "delivered"),
        ("undelivered", "delivered"),
    ):
        answer = await twilio.report(house, 1, status, ErrorCode="30003", RawDlrDoneDate="2611251200")
        assert answer.status == 200, answer.text
        assert (await state_of(house))["state"] == state


async def test_a_report_that_is_not_twilios_changes_nothing(sending: Cast, twilio: Twilio) -> None:
    house = sending.house
    await sending.confirmed(sending.asha, sending.dr_rao)
    await state_of(house)
    forged = await twilio.report(house, 1, "delivered", token="another")
    assert (forged.status, forged.code) == (401, "wrong-signature")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for raw in (b"", b"MessageSid=SM1&MessageStatus=delivered", b"\xff\xfe", b"a=1&" * 200):
        answer = await house.stranger().call("POST", "/notifications/status/twilio", raw=raw, headers=headers)
        assert answer.status == 401, raw
    assert (await twilio.report(house, 99, "delivered")).status == 404
    assert (await state_of(house))["state"] == "sent"


@pytest.mark.parametrize(
    ("language", "zone"), [("en", "Asia/Kolkata"), ("hi", "Asia/Kolkata"), ("hi", "Pacific/Chatham"), ("en", "UTC")]
)
async def test_every_sms_is_short(sending: Cast, twilio: Twilio, language: str, zone: str) -> None:
    """One part in English (160 letters of GSM 03.38), two in Hindi (67 UTF-16 units each)."""
    house = sending.house
    await sending.asha.patch("/me", language=language, time_zone=zone)
    first, second = await sending.slots_of(sending.dr_rao, 2)
    booked = (await sending.asha.post("/consultations", slot_id=first["id"])).json
    await house.until(ALL_DONE)
    moved = await sending.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=second["id"])
    assert moved.status == 200, moved.text
    await house.until(ALL_DONE)
    await remind_now(house, booked, "1h")
    await house.until("select 1 from notifications where cause like 'reminder:%:sms' and state = 'sent'")
    cancelled = await sending.dr_rao.post(f"/consultations/{booked['id']}/cancel")
    assert cancelled.status == 200, cancelled.text
    await house.until("select 1 from notifications where cause like 'cancelled:%:sms' and state = 'sent'")
    assert len(twilio.taken) == 4
    for sms in twilio.taken:
        units = len(sms["Body"].encode("utf-16-le")) // 2
        assert units <= (160 if language == "en" else 134), (units, sms["Body"])
        assert sms["Body"].isascii() == (language == "en")
        assert ("IST" in sms["Body"]) == (zone == "Asia/Kolkata")

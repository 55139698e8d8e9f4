"""The waitlist: a freed slot is kept for the first in line, then for the next, and never for two at once."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from server.core.clock import utc_now
from server.scheduling.offer import deadline
from tests.house import Cast, Client

OPEN_OFFER = "select slot_id from waitlist_offers where ended_at is null and slot_id = $1"


async def wish(who: Client, slot: dict[str, Any]) -> dict[str, Any]:
    """A place on the waitlist for exactly this slot's time."""
    answer = await who.call(
        "POST", "/waitlist", {"doctor_id": slot["doctor_id"], "from": slot["start_time"], "to": slot["end_time"]}
    )
    assert answer.status == 201, answer.text
    return dict(answer.json)


async def taken(cast: Cast) -> tuple[dict[str, Any], dict[str, Any]]:
    """A slot of Dr. Rao's that Asha has booked, and her consultation."""
    booked = await cast.booked(cast.asha, cast.dr_rao)
    slot = {
        "id": booked["slot_id"],
        "doctor_id": booked["doctor_id"],
        "start_time": booked["start_time"],
        "end_time": booked["end_time"],
    }
    return slot, booked


async def cancel(who: Client, booked: dict[str, Any]) -> None:
    answer = await who.post(f"/consultations/{booked['id']}/cancel")
    assert answer.status == 200, answer.text


async def status_for(cast: Cast, slot: dict[str, Any]) -> str:
    """What everybody sees of a slot."""
    listed = await cast.house.stranger().get(f"/doctors/{slot['doctor_id']}/slots")
    [found] = [item["status"] for item in listed.json["items"] if item["id"] == slot["id"]]
    return str(found)


async def test_a_freed_slot_is_kept_for_the_first_in_line(cast: Cast) -> None:
    slot, booked = await taken(cast)
    [stranger] = await cast.house.crowd(1)
    mine = await wish(cast.vik, slot)
    assert mine["offered_slot_id"] is None
    await cancel(cast.asha, booked)
    # Not for a moment is it anybody else's.
    refused = await stranger.post("/consultations", slot_id=slot["id"])
    assert (refused.status, refused.code) == (409, "slot-taken")
    assert slot["id"] not in [other["id"] for other in refused.json["alternatives"]]
    await cast.house.until(OPEN_OFFER, slot["id"])
    [listed] = (await cast.vik.get("/waitlist")).json["items"]
    assert listed["offered_slot_id"] == slot["id"]
    assert listed["offered_start_time"] == slot["start_time"]
    left = datetime.fromisoformat(listed["offered_until"]) - utc_now()
    assert timedelta(minutes=10) < left <= timedelta(minutes=15)
    assert await status_for(cast, slot) == "BOOKED"
    assert (await stranger.post("/consultations", slot_id=slot["id"])).code == "slot-taken"
    assert (await cast.vik.post("/consultations", slot_id=slot["id"])).status == 201
    assert (await cast.vik.get("/waitlist")).json["items"] == []
    [offer] = await cast.house.sql("select ended_as from waitlist_offers")
    assert offer["ended_as"] == "booked"


async def test_unanswered_it_goes_to_the_next_and_then_to_everybody(cast: Cast) -> None:
    slot, booked = await taken(cast)
    second, third = await cast.house.crowd(2)
    await wish(cast.vik, slot)
    await wish(second, slot)
    await cancel(cast.asha, booked)
    offer_to = "select 1 from waitlist_offers o join waitlist w on w.id = o.waitlist_id where o.ended_at is null"
    await cast.house.until(OPEN_OFFER, slot["id"])
    assert (await cast.vik.get("/waitlist")).json["items"][0]["offered_slot_id"] == slot["id"]
    assert (await second.get("/waitlist")).json["items"][0]["offered_slot_id"] is None
    past = "update waitlist_offers set offered_until = now() - interval '1 second' where ended_at is null"
    await cast.house.sql(past)
    await cast.house.until("select 1 from waitlist_offers where ended_as = 'expired'")
    await cast.house.until(offer_to)
    assert (await cast.vik.get("/waitlist")).json["items"][0]["offered_slot_id"] is None
    assert (await second.get("/waitlist")).json["items"][0]["offered_slot_id"] == slot["id"]
    assert (await cast.vik.post("/consultations", slot_id=slot["id"])).code == "slot-taken"
    [place] = (await second.get("/waitlist")).json["items"]
    assert (await second.post(f"/waitlist/{place['id']}/decline", key=None)).status == 200
    again = await second.post(f"/waitlist/{place['id']}/decline", key=None)
    assert (again.status, again.code) == (409, "no-offer")
    assert await status_for(cast, slot) == "AVAILABLE"
    assert (await third.post("/consultations", slot_id=slot["id"])).status == 201


async def test_who_leaves_the_list_gives_the_offer_on(cast: Cast) -> None:
    slot, booked = await taken(cast)
    mine = await wish(cast.vik, slot)
    assert await wish(cast.vik, slot) == mine
    await cancel(cast.asha, booked)
    await cast.house.until(OPEN_OFFER, slot["id"])
    assert (await cast.asha.call("DELETE", f"/waitlist/{mine['id']}")).status == 404
    left = await cast.vik.call("DELETE", f"/waitlist/{mine['id']}")
    assert left.status == 200
    assert left.json["closed_at"] is not None
    assert (await cast.vik.call("DELETE", f"/waitlist/{mine['id']}")).status == 200
    assert await status_for(cast, slot) == "AVAILABLE"


async def test_a_hold_that_expires_and_a_move_away_offer_the_slot_too(cast: Cast) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    await wish(cast.vik, booked)
    await cast.house.sql("update payments set expires_at = now() - interval '1 second'")
    await cast.house.until(OPEN_OFFER, booked["slot_id"])
    slot, held = await taken(cast)
    [other] = await cast.slots_of(cast.dr_rao, from_hours=5)
    [next_one] = await cast.house.crowd(1)
    await wish(next_one, slot)
    moved = await cast.asha.post(f"/consultations/{held['id']}/reschedule", slot_id=other["id"])
    assert moved.status == 200, moved.text
    await cast.house.until(OPEN_OFFER, slot["id"])


async def test_slots_of_new_hours_are_offered_and_withdrawn_ones_no_longer(cast: Cast) -> None:
    doctor_id = cast.dr_rao.me["doctor_id"]
    begins = utc_now().replace(minute=0, second=0, microsecond=0) + timedelta(days=3)
    span = {"from": begins.isoformat(), "to": (begins + timedelta(hours=6)).isoformat()}
    leave = await cast.dr_rao.call("POST", f"/doctors/{doctor_id}/leave", span)
    assert leave.status == 201, leave.text
    wished = await cast.vik.call("POST", "/waitlist", {"doctor_id": doctor_id, **span})
    assert wished.status == 201
    back = await cast.dr_rao.call("DELETE", f"/doctors/{doctor_id}/leave/{leave.json['id']}")
    assert back.status == 200, back.text
    if back.json["slots_made"] == 0:
        pytest.skip("the demo doctor has no hours in this time")
    await cast.house.until("select 1 from waitlist_offers where ended_at is null")
    # One wish, one offer: all other slots are everybody's.
    kept = "select count(*) from availability_slots where offered_n is not null"
    await cast.house.until(f"select 1 where ({kept}) = 1")
    assert (await cast.dr_rao.call("POST", f"/doctors/{doctor_id}/leave", span)).status == 201
    await cast.house.until("select 1 from waitlist_offers where ended_as = 'withdrawn'")
    assert (await cast.vik.get("/waitlist")).json["items"][0]["offered_slot_id"] is None


async def test_nobody_is_offered_a_time_at_which_they_are_with_another_doctor(cast: Cast) -> None:
    rao = await cast.slots_of(cast.dr_rao, 20)
    sen = await cast.slots_of(cast.dr_sen, 20)
    one, other = next(
        (a, b) for a in rao for b in sen if a["start_time"] < b["end_time"] and b["start_time"] < a["end_time"]
    )
    booked = await cast.asha.post("/consultations", slot_id=one["id"])
    assert (await cast.vik.post("/consultations", slot_id=other["id"])).status == 201
    await wish(cast.vik, one)
    await cancel(cast.asha, booked.json)
    assert await status_for(cast, one) == "AVAILABLE"
    assert await cast.house.value("select count(*) from waitlist_offers") == 0


async def test_the_letter_has_a_link_that_opening_does_not_spend(cast: Cast) -> None:
    slot, booked = await taken(cast)
    await wish(cast.vik, slot)
    await cancel(cast.asha, booked)
    await cast.house.until("select 1 from notifications where cause like 'offered:%' and state = 'sent'")
    inbox = await cast.house.stranger().call("GET", "//dev/inbox.json")
    letter = next(mail for mail in inbox.json if "/waitlist/offer?token=" in mail["text"])
    assert letter["to"] == "patient2@example.org"
    found = re.search(r"/waitlist/offer\?token=[\w-]+", letter["text"])
    assert found is not None
    for _ in range(2):
        page = await cast.house.stranger().call("GET", "/" + found[0])
        assert page.status == 200
        assert page.headers["Referrer-Policy"] == "no-referrer" or "origin" in page.headers["Referrer-Policy"]
    assert await cast.house.value("select count(*) from waitlist_offers where ended_at is null") == 1


@pytest.mark.parametrize(
    ("ends", "code"),
    [("2031-01-01T00:00:00Z", "order"), ("2020-01-01T00:00:00Z", "order"), ("2040-01-01T00:00:00Z", "too-long")],
)
async def test_a_wish_that_cannot_come_true_is_refused(cast: Cast, ends: str, code: str) -> None:
    ask = {"doctor_id": cast.dr_rao.me["doctor_id"], "from": "2031-01-01T00:00:00Z", "to": ends}
    answer = await cast.vik.call("POST", "/waitlist", ask)
    assert (answer.status, answer.json["errors"][0]["code"]) == (422, code)


async def test_twenty_wishes_are_enough(cast: Cast) -> None:
    doctor_id = cast.dr_rao.me["doctor_id"]
    codes: list[int] = []
    for day in range(1, 22):
        ask = {"doctor_id": doctor_id, "from": f"2031-01-{day:02}T00:00:00Z", "to": f"2031-01-{day:02}T01:00:00Z"}
        answer = await cast.vik.call("POST", "/waitlist", ask)
        codes.append(answer.status)
        assert answer.status == 201 or answer.code == "too-many-wishes"
    assert codes == [201] * 20 + [409]


def test_a_near_slot_is_kept_for_half_of_what_is_left() -> None:
    now = utc_now()
    assert deadline(now, now + timedelta(days=1), 15) == now + timedelta(minutes=15)
    assert deadline(now, now + timedelta(minutes=20), 15) == now + timedelta(minutes=10)
    assert deadline(now, now + timedelta(minutes=3), 15) is None
    assert deadline(now, now - timedelta(minutes=3), 15) is None

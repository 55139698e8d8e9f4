"""Leave with consultations inside: listed, refused, kept, cancelled or moved, and taken back again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.house import Cast, Client
from tests.test_scheduling import midnight, slots
from tests.test_scheduling_rules import STATUS, at, free, leave, rfc, set_rules

REMINDERS = "select count(*) from reminders where consultation_id = $1 and sent_at is null and dropped_at is null"


async def confirmed(cast: Cast, patient: Client, slot: dict[str, Any]) -> dict[str, Any]:
    """A paid consultation of Dr. Sen's in this slot."""
    answer = await patient.post("/consultations", slot_id=slot["id"])
    assert answer.status == 201, answer.text
    await cast.pay(answer.json)
    await cast.house.until(
        "select 1 from consultations c join reminders r on r.consultation_id = c.id"
        " where c.id = $1 and c.confirmed_at is not null",
        answer.json["id"],
    )
    return dict(answer.json)


async def two_inside(cast: Cast) -> tuple[dict[str, Any], dict[str, Any], datetime, datetime]:
    """Asha and Vik have paid for the day after tomorrow; leave is asked for from that noon to the next."""
    await set_rules(cast.dr_sen)
    begin = midnight(2) + timedelta(hours=12)
    items = await slots(cast, begin, midnight(3))
    return (
        await confirmed(cast, cast.asha, items[0]),
        await confirmed(cast, cast.vik, items[3]),
        begin,
        begin + timedelta(days=1),
    )


async def test_without_a_choice_leave_is_kept_and_names_what_stays_inside(cast: Cast) -> None:
    one, other, begin, end = await two_inside(cast)
    answer = await leave(cast.dr_sen, begin, end)
    assert answer.status == 201, answer.text
    assert [(item["consultation_id"], item["outcome"]) for item in answer.json["booked"]] == [
        (one["id"], "kept"),
        (other["id"], "kept"),
    ]
    assert answer.json["booked_inside"] == 2
    listed = (await cast.dr_sen.get(f"/doctors/{cast.dr_sen.me['doctor_id']}/leave")).json["items"]
    assert [(item["id"], item["from"], item["to"]) for item in listed] == [
        (answer.json["id"], rfc(begin), rfc(end)),
    ]
    assert [item["consultation_id"] for item in listed[0]["booked"]] == [one["id"], other["id"]]
    assert free(await slots(cast, begin, end)) == []
    for held in (one, other):
        assert await cast.house.value("select status from consultations where id = $1", held["id"]) == "PENDING"


async def test_refused_leave_names_them_and_changes_nothing(cast: Cast) -> None:
    one, other, begin, end = await two_inside(cast)
    before = await slots(cast, begin, end)
    answer = await leave(cast.dr_sen, begin, end, "refuse")
    assert (answer.status, answer.code) == (409, "leave-has-consultations")
    assert [(item["consultation_id"], item["start_time"]) for item in answer.json["consultations"]] == [
        (one["id"], one["start_time"]),
        (other["id"], other["start_time"]),
    ]
    assert await slots(cast, begin, end) == before
    assert await cast.house.value("select count(*) from leave") == 0
    empty = await leave(cast.dr_sen, end + timedelta(days=1), end + timedelta(days=2), "refuse")
    assert (empty.status, empty.json["booked"]) == (201, [])


async def test_cancelled_for_leave_is_cancelled_by_the_doctor_with_everything_back(cast: Cast) -> None:
    one, other, begin, end = await two_inside(cast)
    answer = await leave(cast.dr_sen, begin, end, "cancel")
    assert answer.status == 201, answer.text
    assert [item["outcome"] for item in answer.json["booked"]] == ["cancelled", "cancelled"]
    assert answer.json["booked_inside"] == 0
    for held in (one, other):
        row = await cast.house.sql("select status, ended_as from consultations where id = $1", held["id"])
        assert row == [{"status": "CANCELLED", "ended_as": "cancelled_by_doctor"}]
        await cast.house.until("select 1 from payments where id = $1 and status = 'refunded'", held["payment"]["id"])
        back = "select sum(amount_minor) from payment_entries where payment_id = $1 and kind = 'refunded'"
        assert await cast.house.value(back, held["payment"]["id"]) == held["payment"]["amount"]
        await cast.house.until("select 1 from notifications where cause like $1", f"cancelled:{held['id']}%")
        assert await cast.house.value(REMINDERS, held["id"]) == 0
        assert await cast.house.sql(STATUS, held["slot_id"]) == []
    assert await slots(cast, begin, end) == []


async def test_moved_for_leave_is_the_next_free_time_after_it_with_its_payment(cast: Cast) -> None:
    one, other, begin, end = await two_inside(cast)
    # Vik has no time at the first free slot after the leave: another doctor sees him then.
    [at_noon] = [item for item in await slots(cast, end, end + timedelta(hours=1)) if at(item) == end]
    [busy] = [
        item
        for item in (
            await cast.house.stranger().get(
                f"/doctors/{cast.dr_rao.me['doctor_id']}/slots",
                **{"from": end.isoformat(), "to": (end + timedelta(minutes=1)).isoformat()},
            )
        ).json["items"]
        if at(item) == end
    ]
    assert (await cast.vik.post("/consultations", slot_id=busy["id"])).status == 201
    # Asha's goes first; then the next one is free, and Vik is free as well.
    answer = await leave(cast.dr_sen, begin, end, "move")
    assert answer.status == 201, answer.text
    assert [(item["outcome"], item["moved_to"]) for item in answer.json["booked"]] == [
        ("moved", rfc(end)),
        ("moved", rfc(end + timedelta(minutes=30))),
    ]
    assert await cast.house.value(STATUS, at_noon["id"]) == "BOOKED"
    for held, patient in ((one, cast.asha), (other, cast.vik)):
        now = (await patient.get(f"/consultations/{held['id']}")).json
        assert (now["payment"]["id"], now["payment"]["status"]) == (held["payment"]["id"], "captured")
        assert datetime.fromisoformat(now["start_time"]) >= end
        await cast.house.until("select 1 from notifications where cause like $1", f"moved:{held['id']}%")
    assert await slots(cast, begin, end) == []


async def test_who_finds_no_place_after_the_leave_is_left_and_named(cast: Cast) -> None:
    await set_rules(cast.dr_sen, "09:00", "09:30")
    first, second = [(await slots(cast, midnight(days), midnight(days + 1)))[0] for days in (2, 3)]
    one, other = await confirmed(cast, cast.asha, first), await confirmed(cast, cast.vik, second)
    # No slot of this house is made beyond this leave.
    answer = await leave(cast.dr_sen, midnight(2), midnight(10), "move")
    assert [item["outcome"] for item in answer.json["booked"]] == ["left", "left"]
    assert answer.json["booked_inside"] == 2
    for held in (one, other):
        row = await cast.house.sql("select slot_id, status from consultations where id = $1", held["id"])
        assert [(str(found["slot_id"]), found["status"]) for found in row] == [(held["slot_id"], "PENDING")]
    # The same leave again goes on with what is inside; it is not kept twice.
    again = await leave(cast.dr_sen, midnight(2), midnight(10), "cancel")
    assert again.json["id"] == answer.json["id"]
    assert [item["outcome"] for item in again.json["booked"]] == ["cancelled", "cancelled"]
    assert await cast.house.value("select count(*) from leave") == 1


async def test_a_consultation_under_way_is_left_where_it_is(cast: Cast) -> None:
    [slot] = await cast.slots_of(cast.dr_rao)
    held = await cast.asha.post("/consultations", slot_id=slot["id"])
    for act, who in (("check-in", cast.asha), ("call", cast.dr_rao), ("start", cast.dr_rao)):
        answer = await who.post(f"/consultations/{held.json['id']}/{act}")
        assert answer.status == 200, (act, answer.text)
    answer = await leave(cast.dr_rao, at(slot) - timedelta(hours=1), at(slot) + timedelta(hours=1), "cancel")
    assert [item["outcome"] for item in answer.json["booked"]] == ["left"]
    assert await cast.house.value("select status from consultations where id = $1", held.json["id"]) == "ACTIVE"


async def test_leave_taken_back_brings_its_slots_back(cast: Cast) -> None:
    await set_rules(cast.dr_sen)
    begin, end = midnight(2) + timedelta(hours=14), midnight(4) + timedelta(hours=10)
    before = [(item["start_time"], item["end_time"]) for item in await slots(cast, midnight(2), midnight(5))]
    taken = await leave(cast.dr_sen, begin, end)
    other = await leave(cast.dr_sen, midnight(3), midnight(3) + timedelta(hours=12))
    path = f"/doctors/{cast.dr_sen.me['doctor_id']}/leave"
    ended = await cast.dr_sen.call("DELETE", f"{path}/{taken.json['id']}")
    assert ended.status == 200, ended.text
    assert ended.json["slots_made"] < taken.json["slots_withdrawn"]
    assert (await cast.dr_sen.call("DELETE", f"{path}/{other.json['id']}")).status == 200
    assert [(item["start_time"], item["end_time"]) for item in await slots(cast, midnight(2), midnight(5))] == before
    assert (await cast.dr_sen.call("DELETE", f"{path}/{taken.json['id']}")).status == 404
    assert (await cast.dr_sen.get(path)).json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("begin", "end", "booked", "field"),
    [(48, 24, "keep", "to"), (-72, -48, "keep", "to"), (24, 48, "perhaps", "booked"), (24, 24, "cancel", "to")],
)
async def test_leave_that_cannot_be_names_its_field(cast: Cast, begin: int, end: int, booked: str, field: str) -> None:
    times = [midnight(0) + timedelta(hours=hours) for hours in (begin, end)]
    answer = await leave(cast.dr_rao, times[0], times[1], booked)
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])
    assert await cast.house.value("select count(*) from leave") == 0

"""Lists of consultations: a person's own, in order, whole over any number of pages, and by an index of each month."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from server.consultations import list_queries
from server.core.tx import Tx
from tests.house import Cast, Client

# Each consultation begins so many hours from now, and is this by now.
LIVES = [
    (-400, "COMPLETED"),
    (-300, "ACTIVE"),  # for more than a week: nobody wrote down that it ended
    (-200, "CANCELLED"),
    (-30, "PENDING"),  # nobody came
    (-2, "ACTIVE"),
    (-2, "COMPLETED"),
    (5, "PENDING"),
    (5, "CANCELLED"),
    (30, "PENDING"),
    (700, "PENDING"),
]
OVER = {0, 1, 2, 3, 5, 7}


async def lived(cast: Cast, patient: Client) -> list[str]:
    """Their ids, in the order of LIVES."""
    ids: list[str] = []
    for hours, status in LIVES:
        booked = await cast.booked(patient, cast.dr_rao)
        ended = {"COMPLETED": "completed", "CANCELLED": "cancelled_by_admin"}.get(status)
        await cast.house.sql(
            """
            update consultations
               set status = $2, start_time = $3, end_time = $3::timestamptz + interval '20 minutes',
                   ended_as = $4, ended_at = case when $4 is not null then now() end
             where id = $1
            """.replace("$3", f"(date_trunc('hour', now()) + interval '{hours} hours')").replace("$4", "$3::text"),
            booked["id"],
            status,
            ended,
        )
        ids.append(booked["id"])
    return ids


async def pages(client: Client, limit: int, **query: str) -> list[str]:
    """The ids of a list, page by page, none of them longer than asked."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get("/consultations", limit=limit, **query, **cursor)
        assert answer.status == 200, answer.text
        assert len(answer.json["items"]) <= limit
        found += [item["id"] for item in answer.json["items"]]
        if answer.json["next_cursor"] is None:
            return found
        assert len(answer.json["items"]) == limit
        cursor = {"cursor": answer.json["next_cursor"]}


def ordered(rows: list[tuple[int, str]], *, latest_first: bool) -> list[str]:
    return [id_ for _, id_ in sorted(rows, reverse=latest_first)]


async def test_every_consultation_is_in_its_list_once_and_in_order(cast: Cast) -> None:
    mine = [(LIVES[n][0], id_) for n, id_ in enumerate(await lived(cast, cast.asha))]
    theirs = [(LIVES[n][0], id_) for n, id_ in enumerate(await lived(cast, cast.vik))]
    for limit in (1, 3, 100):
        for client, whole in ((cast.asha, mine), (cast.vik, theirs), (cast.dr_rao, mine + theirs)):
            over = [row for n, row in enumerate(whole) if n % len(LIVES) in OVER]
            to_come = [row for row in whole if row not in over]
            assert await pages(client, limit) == ordered(whole, latest_first=True)
            assert await pages(client, limit, when="past") == ordered(over, latest_first=True)
            assert await pages(client, limit, when="upcoming") == ordered(to_come, latest_first=False)
    assert await pages(cast.mira, 7) == ordered(mine + theirs, latest_first=True)
    assert await pages(cast.dr_sen, 7) == await pages(cast.dr_sen, 7, when="upcoming") == []
    cancelled = [row for n, row in enumerate(mine) if LIVES[n][1] == "CANCELLED"]
    assert await pages(cast.asha, 1, status="CANCELLED") == ordered(cancelled, latest_first=True)
    assert await pages(cast.asha, 5, status="ACTIVE", when="upcoming") == [mine[4][1]]


@pytest.mark.parametrize(
    ("whose", "how"),
    [
        ("patient", "(patient_id = $1)"),
        ("doctor", "(doctor_id = $1)"),
        ("everybody", "start_time_id_idx on consultations_"),
    ],
)
async def test_a_list_reads_no_month_from_end_to_end(cast: Cast, whose: str, how: str) -> None:
    """By the plan that every call gets, whoever asks: each month by its index, but for those that are empty."""

    async def plans(tx: Tx) -> dict[str, str]:
        await tx.conn.execute("set local enable_seqscan = off")
        found: dict[str, str] = {}
        for (of, when), text in list_queries.STATEMENTS.items():
            if of == whose:
                name = f"p{uuid4().hex}"
                await tx.conn.execute(f"prepare {name} as {text}")
                rows: list[Any] = await tx.conn.fetch(
                    f"explain execute {name} ('{uuid4()}', null, now(), null, null, 21)"
                )
                found[str(when)] = "\n".join(row[0] for row in rows)
        return found

    for when, plan in (await cast.house.server.database.read(plans)).items():
        assert "Seq Scan on consultations" not in plan, (when, plan)
        assert how in plan, (when, plan)
        assert whose != "everybody" or "Merge Append" in plan, (when, plan)

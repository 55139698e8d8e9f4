"""The trail's lists: whole over any number of pages, for any filters together, and by an index of each month."""

from __future__ import annotations

from itertools import chain, combinations
from uuid import uuid4

from server.audit.queries import statement
from server.core.tx import Tx
from tests.house import Cast, Client
from tests.test_letters import ALL_DONE

COLUMNS = {"table": "table_name", "row": "row_id", "patient": "patient_id", "actor": "actor_id"}
EVERY = list(chain.from_iterable(combinations(COLUMNS, count) for count in range(len(COLUMNS) + 1)))


async def pages(client: Client, limit: int, **query: object) -> list[str]:
    """The ids of a list, page by page."""
    found: list[str] = []
    cursor: dict[str, object] = {}
    while True:
        answer = await client.get("/audit", limit=limit, **query, **cursor)
        assert answer.status == 200, answer.text
        found += [item["id"] for item in answer.json["items"]]
        if answer.json["next_cursor"] is None:
            return found
        assert len(answer.json["items"]) == limit
        cursor = {"cursor": answer.json["next_cursor"]}


async def test_any_filters_together_find_what_is_there_newest_first(cast: Cast) -> None:
    house = cast.house
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    await cast.confirmed(cast.vik, cast.dr_rao)
    await house.until(ALL_DONE)
    [one] = await house.sql(
        "select table_name as table, row_id as row, patient_id as patient, actor_id as actor from audit_logs"
        " where table_name = 'consultations' and action = 'insert' and row_id = $1",
        booked["id"],
    )
    for given in EVERY:
        asked = {name: one[name] for name in given}
        held = " and ".join(f"{COLUMNS[name]} = ${number}" for number, name in enumerate(given, 1)) or "true"
        rows = await house.sql(f"select id from audit_logs where {held} order by id desc", *asked.values())
        found = await pages(cast.mira, 7 if given else 200, **asked)
        # Reading the trail of a patient leaves a line in it: what was there before is found in order.
        assert [id_ for id_ in found if id_ in {str(row["id"]) for row in rows}] == [str(row["id"]) for row in rows]
        assert len(set(found)) == len(found) >= 1
        assert found == sorted(found, reverse=True)


async def test_no_page_reads_the_whole_trail(cast: Cast) -> None:
    """By the plan that every call gets: the index of rows or patients, else the newest rows first."""

    async def plans(tx: Tx) -> dict[tuple[str, ...], str]:
        await tx.conn.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
        found: dict[tuple[str, ...], str] = {}
        for number, given in enumerate(EVERY):
            await tx.conn.execute(f"prepare page_{number} as {statement(given)}")
            values = "".join(", 'x'" if name == "table" else f", '{uuid4()}'" for name in given)
            rows = await tx.conn.fetch(f"explain execute page_{number} (null, 21{values})")
            found[given] = "\n".join(row[0] for row in rows)
        return found

    for given, plan in (await cast.house.server.database.read(plans)).items():
        assert "Seq Scan" not in plan, (given, plan)
        if "row" in given:
            assert "Index Cond: (row_id = " in plan or "Index Cond: (patient_id = " in plan, (given, plan)
        elif "patient" in given:
            assert "Index Cond: (patient_id = " in plan, (given, plan)
        else:
            assert "_pkey on audit_logs" in plan, (given, plan)
            assert "Sort Key: audit_logs.id DESC" in plan, (given, plan)

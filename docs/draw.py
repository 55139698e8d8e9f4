"""Draws the docs that come from the product itself: the schema from a migrated database, the flows from the steps.

Run as `python -m docs.draw`; a test fails when what lies here is not what the product is.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import asyncpg

from server.core.migrate import migrate
from server.up import embedded_postgres
from worker import sagas
from worker.registry import graph

HERE = Path(__file__).parent
COLUMNS = """
    select c.relname as table_name, a.attname as name, format_type(a.atttypid, a.atttypmod) as kind,
           exists (select 1 from pg_index i
                    where i.indrelid = c.oid and i.indisprimary and a.attnum = any(i.indkey)) as is_key
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'schema_migrations'
     order by c.relname, a.attnum
"""
REFERENCES = """
    select distinct f.conrelid::regclass::text as child, f.confrelid::regclass::text as parent,
           (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
             where a.attrelid = f.conrelid and a.attnum = any(f.conkey)) as columns
      from pg_constraint f
      join pg_class c on c.oid = f.conrelid
     where f.contype = 'f' and not c.relispartition and f.conparentid = 0
     order by 1, 2
"""


async def schema() -> str:
    """The schema of a freshly migrated database as a Mermaid drawing."""
    folder = Path(tempfile.mkdtemp(prefix="amrutam-docs-", dir="/tmp"))
    try:
        async with embedded_postgres(folder) as pg:
            await migrate(pg.owner_url)
            conn = await asyncpg.connect(pg.owner_url)
            try:
                columns = await conn.fetch(COLUMNS)
                references = await conn.fetch(REFERENCES)
            finally:
                await conn.close()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    lines = [
        "# The schema",
        "",
        "Made from the database by `python -m docs.draw`. `bytea` columns of names, texts and secrets are sealed.",
        "",
        "```mermaid",
        "erDiagram",
    ]
    lines += [f'    {row["parent"]} ||--o{{ {row["child"]} : "{row["columns"]}"' for row in references]
    last = ""
    for row in columns:
        if row["table_name"] != last:
            lines += ["    }"] * bool(last) + [f"    {row['table_name']} {{"]
            last = row["table_name"]
        kind = (
            str(row["kind"])
            .replace(" ", "_")
            .replace("[]", "_array")
            .replace("timestamp_with_time_zone", "timestamptz")
        )
        lines.append(f"        {kind} {row['name']}{' PK' if row['is_key'] else ''}")
    return "\n".join([*lines, "    }", "```", ""])


def flows() -> str:
    """Every flow of the worker, from its registrations."""
    assert sagas
    return "\n".join(
        [
            "# The flows",
            "",
            "Made from the registered steps by `python -m docs.draw` (`amrutam events --graph` prints the same).",
            "A dashed step leaves the house: it is at least once, with `event id : step` as its key.",
            "",
            "```mermaid",
            graph() + "```",
            "",
        ]
    )


def main() -> None:
    """Write both."""
    (HERE / "schema.md").write_text(asyncio.run(schema()))
    (HERE / "flows.md").write_text(flows())


if __name__ == "__main__":
    main()

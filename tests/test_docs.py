"""The docs that are made from the product say what the product is, and the README's pictures and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import draw

ROOT = Path(__file__).parents[1]


async def test_the_drawings_are_what_the_product_is() -> None:
    assert (ROOT / "docs" / "flows.md").read_text() == draw.flows(), "run `python -m docs.draw`"
    assert (ROOT / "docs" / "schema.md").read_text() == await draw.schema(), "run `python -m docs.draw`"


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/README.md")), ids=lambda page: page.parent.name
)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

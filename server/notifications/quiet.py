"""Quiet hours: when they end that a moment falls into, by the wall clock of their owner's zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from server.accounts import QuietHours

DAY = timedelta(days=1)


def quiet_until(quiet: QuietHours, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The instant (UTC) at which the quiet ends that `at` falls into; None when it falls into none.

    On the days of a clock change the wall clock counts: the quiet is an hour shorter or longer then.
    """
    begin, end = time.fromisoformat(quiet.from_wall), time.fromisoformat(quiet.to_wall)
    today = at.astimezone(zone).date()
    for first in (today - DAY, today):
        last = first if end > begin else first + DAY
        starts = datetime.combine(first, begin, zone).astimezone(UTC)
        # The later reading: the second of an hour that comes twice, the moment after one that does not come.
        ends = max(datetime.combine(last, end, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        if starts <= at < ends:
            return ends
    return None

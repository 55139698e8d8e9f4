"""Logs: one JSON line an event, with allowed fields only; nothing of class 3 or 4 (SECURITY D6)."""

from __future__ import annotations

import logging
import re
import sys

from pythonjsonlogger.json import JsonFormatter

from server.core.settings import Settings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What `extra` may say. Everything else is dropped: a new field is a decision.
ALLOWED = frozenset(
    (
        "request_id",
        "path",
        "error",
        "messages",
        "event_id",
        "step",
        "tries",
        "slot_id",
        "consultation_id",
        "payment_id",
        "session_id",
        "user_id",
        "doctor_id",
        "room",
        "event",
        "status",
        "seconds",
        "count",
        "process",
        "port",
        "reason",
        "address",
        "setting",
        "url",
        "state",
        "made",
        "code",
    )
)
_BREAKS = re.compile(r"[\r\n\x1b]+")


class Allowed(logging.Filter):
    """Drops fields that are not on the list, and keeps one event on one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name in list(vars(record)):
            if name not in _STANDARD and name not in ALLOWED:
                delattr(record, name)
        if isinstance(record.msg, str):
            record.msg = _BREAKS.sub(" ", record.msg)
        return True


def set_up_logs(settings: Settings) -> None:
    """Send the process' log to stderr. Libraries that log what clients send stay silent below ERROR."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter("{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "at"})
    )
    handler.addFilter(Allowed())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("socketio", "engineio", "aiohttp.access", "aiohttp.server", "taskiq", "aioice", "aiortc"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)

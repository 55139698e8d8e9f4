"""Audit: the trail as administrators read it, and who has read a patient's record."""

from server.audit.look import access_log, list_audit
from server.audit.models import AccessRow, AccessRows, AuditRow, AuditRows, ListAudit, ReadAccessLog
from server.audit.routes import routes

__all__ = [
    "AccessRow",
    "AccessRows",
    "AuditRow",
    "AuditRows",
    "ListAudit",
    "ReadAccessLog",
    "access_log",
    "list_audit",
    "routes",
]

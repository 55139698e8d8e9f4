"""The sandbox's late webhooks: asked for on its checkout, sent when their time has come."""

from __future__ import annotations

from server.core.settings import Settings
from server.core.tx import Run
from server.payments import SandboxReportsDue, SendSandboxReports, send_sandbox_reports, verifier
from worker.registry import on


@on(SandboxReportsDue)
async def send_late_webhooks(run: Run, event: SandboxReportsDue, *, settings: Settings) -> None:
    """Wait, then send them. A worker that dies meanwhile leaves it to another one."""
    ask = SendSandboxReports.model_validate(event.model_dump())
    await send_sandbox_reports(run, ask, settings=settings, verify=verifier(settings, lambda: run.now))

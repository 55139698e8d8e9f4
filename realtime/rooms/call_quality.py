"""How calls are for their sides, as Prometheus counts it: numbers only, nobody's name and no consultation's."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from realtime.video import CallRole, ReportQuality
from server.core.ids import ConsultationId

SCORE = Histogram(
    "amrutam_call_score",
    "How a side judges its line, 0 to 100",
    ["role", "route"],
    buckets=(20, 40, 55, 70, 80, 90, 100),
)
LOSS = Histogram(
    "amrutam_call_loss", "Share of packets that did not arrive", buckets=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
)
ROUND_TRIP = Histogram(
    "amrutam_call_round_trip_seconds",
    "Seconds from one side to the other and back",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0),
)
PICTURES = Counter("amrutam_call_reports_total", "Reports of quality, by the picture that was sent", ["picture"])


def count_quality(consultation_id: ConsultationId, role: CallRole, report: ReportQuality) -> None:
    """Count one report of one side."""
    del consultation_id
    SCORE.labels(role.value, report.route).observe(report.score)
    LOSS.observe(report.loss)
    if report.rtt_ms is not None:
        ROUND_TRIP.observe(report.rtt_ms / 1000)
    PICTURES.labels(report.picture).inc()

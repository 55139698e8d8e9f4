"""Settings that belong together, and what the relays' settings become in a call."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from realtime.rooms.call_quality import count_quality
from realtime.video import CallRole, ReportQuality, Turn
from server.core.clock import utc_now
from server.core.ids import ConsultationId, new_id
from server.core.settings import SettingsMistake, read_settings

RELAYS = "turn:relay.example:3478?transport=udp, turns:relay.example:5349"


def test_relays_come_with_their_secret() -> None:
    settings = read_settings({"AMRUTAM_TURN_URLS": RELAYS, "AMRUTAM_TURN_SECRET": "s3cret"})
    assert settings.turn_urls == ("turn:relay.example:3478?transport=udp", "turns:relay.example:5349")
    assert settings.turn_secret is not None
    assert Turn(settings.turn_urls, settings.turn_secret.get_secret_value()).configured
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "half", [{"AMRUTAM_TURN_URLS": RELAYS}, {"AMRUTAM_TURN_SECRET": "s3cret"}], ids=["no secret", "no addresses"]
)
def test_half_a_relay_is_refused_at_start(half: dict[str, str]) -> None:
    with pytest.raises(SettingsMistake, match="belong together"):
        read_settings(half)


def test_a_relay_is_no_web_address() -> None:
    with pytest.raises(SettingsMistake, match="AMRUTAM_TURN_URLS: every address must begin with turn:"):
        read_settings({"AMRUTAM_TURN_URLS": "https://relay.example", "AMRUTAM_TURN_SECRET": "s3cret"})


def test_reports_of_quality_are_counted_without_whose_they_are() -> None:
    before = count("amrutam_call_score_count", role="patient", route="direct")
    consultation_id = ConsultationId(new_id(utc_now()))
    count_quality(consultation_id, CallRole.PATIENT, ReportQuality(score=88, loss=0.01, rtt_ms=40))
    assert count("amrutam_call_score_count", role="patient", route="direct") == before + 1
    labels = {str(sample.labels) for family in REGISTRY.collect() for sample in family.samples}
    assert str(consultation_id) not in "".join(labels)


def count(name: str, **labels: str) -> float:
    """A number of the registry; 0 before its first."""
    return REGISTRY.get_sample_value(name, labels) or 0

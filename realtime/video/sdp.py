"""What a description and a candidate must look like before the other side gets them (RFC 8866, RFC 8839)."""

from __future__ import annotations

import re

MAX_SDP_BYTES = 64 * 1024
MAX_SECTIONS = 8
MAX_CANDIDATE_BYTES = 1024

_LINE = re.compile(r"[a-z]=[^\x00-\x08\x0a-\x1f\x7f]*")
_FINGERPRINT = re.compile(r"a=fingerprint:sha-(256|384|512) ([0-9A-Fa-f]{2}:){31,63}[0-9A-Fa-f]{2}")
_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})
_CANDIDATE = re.compile(
    r"(a=)?candidate:[A-Za-z0-9+/]{1,32} [0-9]{1,5} (udp|tcp) [0-9]{1,10} [0-9A-Za-z:._-]{1,255} [0-9]{1,5}"
    r" typ (host|srflx|prflx|relay)( [\x21-\x7e]+)*",
    re.IGNORECASE,
)


def checked_sdp(sdp: str) -> str:
    """The description as it came. Raises ValueError saying what is wrong with it.

    It must be one that a browser's DTLS-SRTP makes: with the fingerprint of its certificate, and without keys in the
    clear (SDES, RFC 4568). What it says about codecs is the browsers' affair.
    """
    if len(sdp.encode("utf-8", "replace")) > MAX_SDP_BYTES:
        raise ValueError("is longer than 64 KB")
    lines = sdp.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if lines[0] != "v=0":
        raise ValueError("does not begin with v=0")
    for line in lines:
        if not _LINE.fullmatch(line):
            raise ValueError("holds a line that is not SDP")
    sections = [line for line in lines if line.startswith("m=")]
    if len(sections) > MAX_SECTIONS:
        raise ValueError("has more than 8 media sections")
    for section in sections:
        parts = section.split(" ")
        if len(parts) < 4 or parts[2] not in _PROTOCOLS:
            raise ValueError("has a media section without DTLS")
    if any(line.startswith("a=crypto:") for line in lines):
        raise ValueError("carries keys in the clear")
    if sections and not any(_FINGERPRINT.fullmatch(line) for line in lines):
        raise ValueError("has no certificate fingerprint")
    return sdp


def checked_candidate(candidate: str) -> str:
    """The candidate line as it came; empty means that there are no more. Raises ValueError."""
    if len(candidate) > MAX_CANDIDATE_BYTES:
        raise ValueError("is longer than 1 KB")
    if candidate and not _CANDIDATE.fullmatch(candidate):
        raise ValueError("is not an ICE candidate")
    return candidate

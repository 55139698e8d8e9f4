"""The headers that every response carries, errors and 101 included (SECURITY E10)."""

from __future__ import annotations

from aiohttp import web

from server.core.edge.calls import Call
from server.core.settings import Settings

CALL: web.RequestKey[Call] = web.RequestKey("call", Call)


_NONCE = "{nonce}"  # where each response's own stands


class SecurityHeaders:
    """All of them, for any response; what is the same in each is worded once."""

    def __init__(self, settings: Settings) -> None:
        # Razorpay's hosted checkout is reached by a form; where it is not set up, forms lead to us alone.
        form_action = f" {settings.razorpay_url}" if settings.razorpay_key_id else ""
        self._before_nonce, _, self._after_nonce = _content_security_policy(form_action).partition(_NONCE)
        self._always = {
            "X-Content-Type-Options": "nosniff",
            # Not no-referrer: with it browsers send `Origin: null` with every form, and our own forms look foreign.
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": (
                "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()"
            ),
        }
        if settings.secure_cookies:
            self._always["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"

    def of(self, nonce: str, *, is_api: bool) -> dict[str, str]:
        """Those of one response."""
        headers = {
            "Content-Security-Policy": f"{self._before_nonce}{nonce}{self._after_nonce}",
            **self._always,
        }
        if is_api:
            headers["Cache-Control"] = "no-store"
        return headers


def _content_security_policy(form_action: str) -> str:
    """Scripts by nonce only, styles, pictures, sound and connections from here only, no frames, no plug-ins."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{_NONCE}' 'strict-dynamic'",
            "style-src 'self'",
            "font-src 'self'",
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            "connect-src 'self'",
            "worker-src 'self'",
            "manifest-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            f"form-action 'self'{form_action}",
            "require-trusted-types-for 'script'",
        )
    )


def rate_headers(call: Call) -> dict[str, str]:
    """RateLimit and RateLimit-Policy (IETF httpapi draft) of what this call spent."""
    if call.spent is None:
        return {}
    rate = call.spent.limit
    return {
        "RateLimit-Policy": f'"{call.budget}";q={rate.count};w={rate.seconds}',
        "RateLimit": f'"{call.budget}";r={call.spent.remaining};t={max(0, round(call.spent.reset_seconds))}',
    }

"""Web push: a message sealed for one browser (RFC 8291) and a voucher that it comes from us (RFC 8292)."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_BYTES = 4096  # RFC 8291 section 4: one record, which a push service need not take if it is longer
MOST_BYTES = RECORD_BYTES - 103  # header 86, delimiter 1, tag 16
POINT_BYTES = 65
SECRET_BYTES = 16
VOUCHER_LASTS = timedelta(hours=12)  # RFC 8292 section 2: at most 24 hours
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-4, D.1.2.3)


class WrongKeys(Exception):
    """The keys of a subscription are not a point of P-256 and sixteen bytes."""


@dataclass(frozen=True, slots=True)
class BrowserKeys:
    """What a browser gave for messages to it: its public point, and a secret that both sides know."""

    point: bytes
    secret: bytes

    @classmethod
    def read(cls, p256dh: str, auth: str) -> BrowserKeys:
        """Read them from base64url. Raises WrongKeys."""
        try:
            point, secret = unbase64(p256dh), unbase64(auth)
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except (ValueError, InvalidKey):
            raise WrongKeys from None
        if len(point) != POINT_BYTES or len(secret) != SECRET_BYTES:
            raise WrongKeys
        return cls(point, secret)


def seal_for(
    browser: BrowserKeys, message: bytes, *, salt: bytes | None = None, key: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """The message as `aes128gcm` content that only this browser opens. `salt` and `key` are fresh unless given."""
    if len(message) > MOST_BYTES:
        raise ValueError(f"a push holds at most {MOST_BYTES} bytes")
    salt = os.urandom(16) if salt is None else salt
    key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
    own = point_of(key)
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), browser.point))
    secret = _derive(browser.secret, shared, b"WebPush: info\0" + browser.point + own, 32)
    content_key = _derive(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(salt, secret, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(content_key).encrypt(nonce, message + b"\x02", None)
    return salt + RECORD_BYTES.to_bytes(4, "big") + len(own).to_bytes(1, "big") + own + sealed


def own_key(secret: str) -> ec.EllipticCurvePrivateKey:
    """The key that vouches for us: of 32 bytes in base64url where one is set, else of any secret, always the same."""
    try:
        number = int.from_bytes(unbase64(secret), "big") if len(secret.rstrip("=")) == 43 else 0
    except ValueError:
        number = 0
    if not 0 < number < ORDER:
        derived = HKDF(algorithm=hashes.SHA256(), length=48, salt=None, info=b"amrutam push key").derive(
            secret.encode()
        )
        number = int.from_bytes(derived, "big") % (ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def vouch(key: ec.EllipticCurvePrivateKey, endpoint: str, contact: str, now: datetime) -> str:
    """The Authorization header for one push service: a JWT for its origin, and the key that it checks it with."""
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((now + VOUCHER_LASTS).timestamp()),
        "sub": contact,
    }
    said = ".".join(base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ES256"}, claims))
    r, s = decode_dss_signature(key.sign(said.encode(), ec.ECDSA(hashes.SHA256())))
    token = f"{said}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    return f"vapid t={token}, k={base64url(point_of(key))}"


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public point, uncompressed: 65 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def base64url(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unbase64(text: str) -> bytes:
    """Bytes of base64url, padded or not. Raises ValueError."""
    text = text.rstrip("=")
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)


def _derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)

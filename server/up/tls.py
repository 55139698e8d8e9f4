"""Https without a public name: a certificate authority of the data folder's own, and a certificate made by it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.up.address import local_names
from server.up.folder import Folder, Refused
from server.up.secret_file import write_whole

AUTHORITY_LASTS = timedelta(days=3650)
CERTIFICATE_LASTS = timedelta(days=397)  # browsers refuse longer ones
RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """What to serve https with, and what a person compares."""

    cert: Path
    key: Path
    authority: Path | None
    sha256: str


def given_certificate(cert: Path, key: Path) -> Certificate:
    """The certificate that the settings name. Raises Refused if it cannot be read."""
    try:
        read = x509.load_pem_x509_certificate(cert.read_bytes())
        key.read_bytes()
    except (OSError, ValueError) as error:
        raise Refused(f"AMRUTAM_TLS_CERT or AMRUTAM_TLS_KEY cannot be read: {error}.") from error
    return Certificate(cert, key, None, fingerprint(read))


def own_certificate(folder: Folder, now: datetime) -> Certificate:
    """The folder's own certificate, made at first, and again when it runs out or this machine's addresses changed."""
    home = folder.path / "tls"
    home.mkdir(mode=0o700, exist_ok=True)
    authority_cert, authority_key = _authority(home, now)
    names = local_names()
    path, key_path = home / "server.pem", home / "server-key.pem"
    current = _load(path)
    if current is None or not key_path.exists() or not _serves(current, names, now, authority_cert):
        key = ec.generate_private_key(ec.SECP256R1())
        current = _sign(key, names, now, authority_cert, authority_key)
        write_whole(key_path, _key_pem(key))
        write_whole(path, (_pem(current) + _pem(authority_cert)))
    return Certificate(path, key_path, home / "ca.pem", fingerprint(current))


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, as browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _authority(home: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path, key_path = home / "ca.pem", home / "ca-key.pem"
    found = _load(path)
    if found is not None:
        try:
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise Refused(f"{key_path} cannot be read: {error}.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Refused(f"{key_path} is not the key that was made for {path}.")
        return found, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Amrutam on {socket.gethostname()}"[:64])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_whole(key_path, _key_pem(key))
    write_whole(path, _pem(made))
    return made, key


def _sign(
    key: ec.EllipticCurvePrivateKey,
    names: list[str],
    now: datetime,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Amrutam")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + CERTIFICATE_LASTS)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _serves(current: x509.Certificate, names: list[str], now: datetime, authority: x509.Certificate) -> bool:
    try:
        current.verify_directly_issued_by(authority)
        listed = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    valid = current.not_valid_before_utc <= now < current.not_valid_after_utc - RENEW_BEFORE
    return valid and set(listed) >= {_general(name) for name in names}


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def _load(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

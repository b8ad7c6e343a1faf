"""A certificate authority of a test's own, and good and bad certificates by it."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)
_NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """``file`` is what has to be trusted for the certificates of ``server`` to be believed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name("authority")
        authority = self._certificate(self._name, self._key, "authority", True, _NOW + _DAY)
        self.file = folder / "authority.pem"
        self.file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))

    def server(
        self, host: str = "localhost", *, days: int = 1, self_signed: bool = False
    ) -> ssl.SSLContext:
        """A server's side for ``host``; ended ``-days`` ago where ``days`` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = (_name(host), key) if self_signed else (self._name, self._key)
        certificate = self._certificate(*issuer, host, False, _NOW + days * _DAY, key)
        path = self._folder / f"{host}{days}{self_signed}.pem"
        plain = serialization.NoEncryption()
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(
        self,
        issuer: x509.Name,
        signer: ec.EllipticCurvePrivateKey,
        host: str,
        authority: bool,
        end: datetime.datetime,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(host))
            .issuer_name(issuer)
            .public_key((key or signer).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - 30 * _DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(signer, hashes.SHA256())
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

"""TLS 1.3 with the node's self-signed Ed25519 certificate, and who the other side is.

TLS hides traffic from onlookers; trust in content comes from its hash alone. So no authority is asked: the
dialler compares the key in the certificate with the peer id that it expects, if it expects one. The dialler
presents no certificate.
"""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import NameOID

from dhtshare.errors import RemoteProtocolError
from dhtshare.identity import SigningKey, verify
from dhtshare.transfer.messages import HELLO_PURPOSE

_BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)
"""Fixed: a certificate tells nothing about when a node was made, and no clock can break it."""


def client_context() -> ssl.SSLContext:
    """For dialling. Accepts any certificate; `peer_id_of` tells whose it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_context(key: SigningKey) -> ssl.SSLContext:
    """For listening, with a certificate over the peer key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    pem = certificate(key) + key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # ssl takes certificates from files only; this one is readable by its owner alone and gone at once.
    handle, name = tempfile.mkstemp(prefix="dhtshare-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
    return context


def certificate(key: SigningKey) -> bytes:
    """A self-signed certificate (PEM) whose only content is the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dhtshare")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(1)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(key.private, None)
        .public_bytes(serialization.Encoding.PEM)
    )


def peer_id_of(certificate_der: bytes) -> bytes:
    """The 32-byte peer id in a certificate (DER). Raises RemoteProtocolError for one that is not ours in kind."""
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except ValueError as error:
        raise RemoteProtocolError("The peer's certificate cannot be read.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RemoteProtocolError("The peer's certificate is not over an Ed25519 key.")
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def hello_proof(key: SigningKey, network: bytes, nonce: bytes) -> bytes:
    """A listener's proof of its peer id on a plain connection: a signature over the dialler's nonce."""
    return key.sign(HELLO_PURPOSE, network, nonce)


def proves(peer_id: bytes, proof: bytes, network: bytes, nonce: bytes) -> bool:
    """Whether the proof is that of this peer id for this nonce."""
    return verify(peer_id, proof, HELLO_PURPOSE, network, nonce)

"""How two peers meet: which of them may speak plain, and what each HELLO has to prove.

Never opens a connection; the exchange does, and asks here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dhtshare.errors import IntegrityError, NetworkError, RemoteProtocolError
from dhtshare.identity import SigningKey
from dhtshare.network import Scope, ScopeRules, is_loopback
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import NONCE_BYTES, Hello, Reason, Refused
from dhtshare.transfer.parties import EncryptionNeededError
from dhtshare.transfer.tls import hello_proof, peer_id_of, proves


@dataclass(frozen=True, slots=True)
class Manners:
    """Who we are and what we insist on."""

    network: bytes
    key: SigningKey
    rules: ScopeRules
    encryption: str
    agent: str


class Greeter:
    """Says and checks HELLO. Remembers the nonces of connections that we dialled, to know ourselves by them."""

    def __init__(self, manners: Manners, rng: random.Random) -> None:
        self._manners = manners
        self._rng = rng
        self._nonces: set[bytes] = set()

    def may_be_plain(self, host: str) -> bool:
        """Whether this side may leave traffic with `host` in the clear."""
        if self._manners.encryption == "never":
            return True
        return is_loopback(host) and self._manners.rules.scope_of(host) is Scope.LAN

    def greet(self, connection: Connection, hello: Hello | None) -> None:
        """The transport is up (None), or the peer said HELLO. Raises what ends the connection."""
        if hello is None:
            if not connection.incoming:
                self._dialled(connection)
            return
        if hello.network != self._manners.network:
            raise RemoteProtocolError(f"{connection.address} belongs to another network.")
        if connection.incoming:
            self._welcome(connection, hello)
        elif not connection.encrypted:
            self._check_proof(connection, hello)

    def farewell(self, connection: Connection) -> None:
        """The connection ended."""
        self._nonces.discard(connection.nonce)

    def _dialled(self, connection: Connection) -> None:
        if connection.encrypted:
            certificate = connection.certificate()
            if certificate is None:
                raise RemoteProtocolError(f"{connection.address} shows no certificate.")
            connection.peer_id = peer_id_of(certificate)
            self._check_expected(connection)
        connection.nonce = self._rng.randbytes(NONCE_BYTES)
        self._nonces.add(connection.nonce)
        connection.send(Hello(self._manners.network, connection.nonce, self._manners.agent))

    def _welcome(self, connection: Connection, hello: Hello) -> None:
        if hello.nonce in self._nonces:
            raise NetworkError("This node dialled itself.")
        if not connection.encrypted and not self.may_be_plain(connection.address.host):
            connection.send(Refused(0, Reason.ENCRYPT))
            raise EncryptionNeededError(f"{connection.address} speaks plain.")
        nonce = self._rng.randbytes(NONCE_BYTES)
        if connection.encrypted:
            connection.send(Hello(self._manners.network, nonce, self._manners.agent))
            return
        key = self._manners.key
        proof = hello_proof(key, self._manners.network, hello.nonce)
        connection.send(Hello(self._manners.network, nonce, self._manners.agent, key.public, proof))

    def _check_proof(self, connection: Connection, hello: Hello) -> None:
        if hello.peer_id and not proves(hello.peer_id, hello.proof, self._manners.network, connection.nonce):
            raise RemoteProtocolError(f"{connection.address} does not prove its peer id.")
        connection.peer_id = hello.peer_id or None
        self._check_expected(connection)

    def _check_expected(self, connection: Connection) -> None:
        expected = connection.expected_id
        if expected is not None and connection.peer_id != expected:
            shown = connection.peer_id.hex() if connection.peer_id else "none"
            raise IntegrityError(
                f"{connection.address} is not the peer that was named: its id is {shown}, not {expected.hex()}."
            )

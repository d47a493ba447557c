"""GPG: whose keys a consignment is sealed to, the exchange's own key, and the sealing stream."""

from server.seal.agent_socket import socket_redirect
from server.seal.envelope import Sealed, Sealing
from server.seal.exchange_key import ExchangeKey
from server.seal.gpg import SealError
from server.seal.keyring import Keyring, PublicKey, SealingKey, UnusableKey

__all__ = [
    "ExchangeKey",
    "Keyring",
    "PublicKey",
    "SealError",
    "Sealed",
    "Sealing",
    "SealingKey",
    "UnusableKey",
    "socket_redirect",
]

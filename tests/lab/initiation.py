"""A WireGuard handshake's first message with any time in it: what a peer has heard from a client whose clock was fast.

The protocol: https://www.wireguard.com/protocol/ (Noise_IKpsk2, of which the first message needs no preshared key).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
TAI64 = 0x400000000000000A
"""What TAI64N adds to the seconds since 1970 (WireGuard counts no leap seconds)."""
NONCE = bytes(12)


def initiation(private_key: str, peer_key: str, seconds: float) -> bytes:
    """Return the message; keys are in base64, `seconds` since 1970 are the time that it bears."""
    ours = X25519PrivateKey.from_private_bytes(base64.b64decode(private_key))
    theirs = base64.b64decode(peer_key)
    peer = X25519PublicKey.from_public_bytes(theirs)
    once = X25519PrivateKey.generate()
    once_public = once.public_key().public_bytes_raw()
    chain = _hash(CONSTRUCTION)
    seen = _hash(_hash(_hash(chain + IDENTIFIER) + theirs) + once_public)
    chain, key = _derive(_derive(chain, once_public)[0], once.exchange(peer))
    static = ChaCha20Poly1305(key).encrypt(NONCE, ours.public_key().public_bytes_raw(), seen)
    chain, key = _derive(chain, ours.exchange(peer))
    when = (TAI64 + int(seconds)).to_bytes(8, "big") + bytes(4)
    timestamp = ChaCha20Poly1305(key).encrypt(NONCE, when, _hash(seen + static))
    message = b"\1\0\0\0" + b"wgm!" + once_public + static + timestamp
    mac = hashlib.blake2s(message, key=_hash(b"mac1----" + theirs), digest_size=16).digest()
    return message + mac + bytes(16)


def _hash(text: bytes) -> bytes:
    return hashlib.blake2s(text).digest()


def _derive(key: bytes, text: bytes) -> tuple[bytes, bytes]:
    """Return the first two keys of WireGuard's KDF (HKDF with HMAC-BLAKE2s)."""
    secret = _mac(key, text)
    first = _mac(secret, b"\1")
    return first, _mac(secret, first + b"\2")


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.blake2s).digest()

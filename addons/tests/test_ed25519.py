"""The verifier against RFC 8032, against what is known to go wrong, and against another implementation."""
import hashlib
import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from olic.ed25519 import BASE, L, NEUTRAL, P, _add, _combine, _equal, decode, of_small_order, verify

# RFC 8032, section 7.1: seed, public key, message, signature.
RFC = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]

# The eight points of small order as they are written, and the ways to write them that are not the shortest.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
NOT_CANONICAL = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def _multiply(scalar, point):
    return _combine(scalar, point, 0, NEUTRAL)


def encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def theirs(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except InvalidSignature:
        return False


@pytest.mark.parametrize("seed, key, message, signature", RFC)
def test_signatures_of_the_rfc_are_accepted(seed, key, message, signature):
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    assert private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex() == key
    assert private.sign(bytes.fromhex(message)).hex() == signature
    assert verify(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("seed, key, message, signature", RFC)
def test_no_flipped_bit_of_key_or_signature_is_accepted(seed, key, message, signature):
    key, message, signature = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    for bit in range(512):
        assert not verify(key, message, flip(signature, bit))
    for bit in range(256):
        assert not verify(flip(key, bit), message, signature)


def flip(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("seed, key, message, signature", RFC)
def test_s_is_not_accepted_again_with_the_order_added(seed, key, message, signature):
    signature = bytes.fromhex(signature)
    s = int.from_bytes(signature[32:], "little")
    for times in range(1, 16):
        if s + times * L < 2**256:
            other = signature[:32] + (s + times * L).to_bytes(32, "little")
            assert not verify(bytes.fromhex(key), bytes.fromhex(message), other)


def test_s_at_its_limits_is_refused():
    key, message, signature = (bytes.fromhex(part) for part in RFC[1][1:])
    for s in (0, 1, L - 1, L, L + 1, 2**252, 2**253 - 1, 2**255 - 1, 2**256 - 1):
        assert not verify(key, message, signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize("key", SMALL)
def test_points_of_small_order_sign_nothing(key):
    """With such a key and S = 0 one signature fits every message, or every eighth."""
    key = bytes.fromhex(key)
    assert of_small_order(decode(key))
    assert not any(verify(key, bytes([byte]), r + bytes(32)) for byte in range(16) for r in map(bytes.fromhex, SMALL))


@pytest.mark.parametrize("point", NOT_CANONICAL)
def test_points_that_are_not_written_the_shortest_way_are_refused(point):
    point = bytes.fromhex(point)
    assert decode(point) is None
    assert not verify(point, b"", bytes(64))
    assert not verify(bytes.fromhex(RFC[0][1]), b"", point + bytes(32))


def test_a_signature_whose_r_has_small_order_is_refused():
    """The owner of a key can make one that verifiers without this rule accept."""
    seed = hashlib.sha512(b"owner").digest()
    a = (int.from_bytes(seed[:32], "little") & (1 << 254) - 8) | 1 << 254
    key = encode(_multiply(a, BASE))
    r = bytes.fromhex(SMALL[0])
    k = int.from_bytes(hashlib.sha512(r + key + b"message").digest(), "little") % L
    signature = r + (k * a % L).to_bytes(32, "little")
    assert theirs(key, b"message", signature)
    assert not verify(key, b"message", signature)


def test_a_signature_that_is_right_only_after_multiplying_by_eight_is_refused():
    """A key with a part of small order: verifiers disagree about it, so that ours follows the strict ones."""
    a = 2**254 + 8
    torsion = decode(bytes.fromhex(SMALL[4]))
    key = encode(_add(_multiply(a, BASE), torsion))
    nonce = 12345678901234567890
    r = encode(_multiply(nonce, BASE))
    outcomes = set()
    for number in range(32):
        message = b"message %d" % number
        k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
        signature = r + ((nonce + k * a) % L).to_bytes(32, "little")
        assert verify(key, message, signature) is (k % 8 == 0)
        assert verify(key, message, signature) == theirs(key, message, signature)
        outcomes.add(k % 8 == 0)
    assert outcomes == {True, False}


@pytest.mark.parametrize("key, signature", [(31, 64), (33, 64), (32, 63), (32, 65), (0, 64), (32, 0)])
def test_other_lengths_are_refused(key, signature):
    assert not verify(bytes(key), b"", bytes(signature))


def test_the_base_point_has_the_order_of_the_rfc():
    assert encode(BASE).hex() == "58" + "66" * 31
    assert _equal(_multiply(L, BASE), NEUTRAL)


def test_random_keys_messages_and_mutations_are_judged_as_by_another_implementation():
    random.seed(8032)
    for _ in range(300):
        private = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
        key = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        message = random.randbytes(random.randrange(200))
        signature = private.sign(message)
        assert verify(key, message, signature)
        for mutated in (flip(signature, random.randrange(512)), random.randbytes(64)):
            assert verify(key, message, mutated) is theirs(key, message, mutated) is False

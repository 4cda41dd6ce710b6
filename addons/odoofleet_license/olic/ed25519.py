"""Ed25519 signatures are checked here (RFC 8032, section 5.1.7), as strictly as `verify_strict` of ed25519-dalek.

Nothing here is secret, so nothing has to take a constant time. Nothing here signs.
"""
import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64

# The field's prime, the order of the base point, the curve's constant and a square root of -1.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)

# Points are (X, Y, Z, T) with x = X/Z, y = Y/Z and x*y = T/Z.
NEUTRAL = (0, 1, 1, 0)


def verify(key, message, signature):
    """Whether `signature` is one of `message` by the owner of `key`. All three are bytes; other lengths are refused."""
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    a = decode(key)
    r = decode(signature[:32])
    if a is None or r is None or of_small_order(a) or of_small_order(r):
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(digest, "little") % L
    # S*B = R + k*A, as S*B - k*A = R: one run over the bits of both.
    return _equal(_combine(s, BASE, k, _negative(a)), r)


def decode(data):
    """The point that 32 bytes stand for; None if they stand for none, or for one that is written otherwise."""
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= 2**255 - 1
    if y >= P:
        return None
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def of_small_order(point):
    """Whether eight times the point is neutral: a signature by such a key would fit any message."""
    for _ in range(3):
        point = _double(point)
    return _equal(point, NEUTRAL)


def _x_of(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _double(p):
    a, b, c = p[0] * p[0] % P, p[1] * p[1] % P, 2 * p[2] * p[2] % P
    h = a + b
    e, g = h - (p[0] + p[1]) ** 2 % P, a - b
    f = c + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _negative(p):
    return (P - p[0], p[1], p[2], P - p[3])


def _combine(m, p, n, q):
    """m*p + n*q."""
    either = (None, p, q, _add(p, q))
    total = NEUTRAL
    for bit in range(max(m.bit_length(), n.bit_length()) - 1, -1, -1):
        total = _double(total)
        chosen = either[(m >> bit & 1) | (n >> bit & 1) << 1]
        if chosen is not None:
            total = _add(total, chosen)
    return total


def _equal(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def _base():
    y = 4 * pow(5, P - 2, P) % P
    x = _x_of(y, 0)
    return (x, y, 1, x * y % P)


BASE = _base()

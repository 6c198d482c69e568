"""Names by content: what is said the same way has the same name, and nothing else has."""

import hashlib
import struct
from collections.abc import Iterable

# The version of keys and values. Another layout gives other digests, other keys and another header, so that
# two versions side by side never read each other's entries.
LAYOUT = 1

Field = str | bytes | int | float | None

_DIGEST_BYTES = 20
_LONGEST_KIND = 13  # BLAKE2's personalisation holds 16 bytes


def encode(fields: Iterable[Field]) -> bytes:
    """The fields as bytes, such that different lists of fields give different bytes.

    Each field is a letter for its type, its length in 8 bytes, then its bytes: a prefix code, so no value can
    pose as the boundary between two others. `1`, `1.0` and `"1"` differ; `True` is `1`. Any text goes, lone
    surrogates too.
    """
    return b"".join(_encoded(field) for field in fields)


def _encoded(field: Field) -> bytes:
    match field:
        case None:
            return _framed(b"n", b"")
        case str():
            return _framed(b"s", field.encode("utf-8", "surrogatepass"))
        case bytes():
            return _framed(b"b", field)
        case int():
            return _framed(b"i", field.to_bytes(field.bit_length() // 8 + 1, "little", signed=True))
        case float():
            return _framed(b"f", struct.pack("<d", field))


def _framed(tag: bytes, data: bytes) -> bytes:
    return tag + len(data).to_bytes(8, "little") + data


def digest(kind: str, fields: Iterable[Field]) -> str:
    """The name of a thing of this `kind` (at most 13 ASCII letters) with these fields: 40 hexadecimal digits.

    BLAKE2b of 160 bits (RFC 7693), personalised by layout version and kind: things of different kinds never
    share a name, whatever their fields. The chance that two of 10^12 names collide is below 10^-24.

    Raises:
        ValueError: `kind` is empty or too long.
    """
    person = kind.encode("ascii")
    if not 0 < len(person) <= _LONGEST_KIND:
        raise ValueError(f"a kind has 1 to {_LONGEST_KIND} letters, not {len(person)}")
    layout = b"%d:" % LAYOUT
    return hashlib.blake2b(encode(fields), digest_size=_DIGEST_BYTES, person=layout + person).hexdigest()

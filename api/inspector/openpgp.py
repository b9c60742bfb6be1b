"""The key id that an OpenPGP signature names (RFC 4880 §5.2, RFC 9580 §5.2)."""

_SIGNATURE = 2
_ISSUER = 16
_ISSUER_FINGERPRINT = 33
_KEY_ID = 8


def key_id(packet: bytes) -> str | None:
    """Return the id, 16 lower-case hexadecimal digits, of the key of a signature; None if none."""
    try:
        tag, body = _open(packet)
        if tag != _SIGNATURE or not body:
            return None
        if body[0] == 3:
            return body[7:15].hex() if len(body) >= 15 else None
        if body[0] in (4, 6):
            return _issuer(body, long=body[0] == 6)
    except IndexError:
        pass
    return None


def _open(packet: bytes) -> tuple[int, bytes]:
    """Return tag and body of the first packet."""
    first = packet[0]
    if not first & 0x80:
        return 0, b""
    if first & 0x40:
        size, start = _new_length(packet, 1)
        return first & 0x3F, packet[start : start + size]
    kind = first & 3
    if kind == 3:
        return (first >> 2) & 0xF, packet[1:]
    width = 1 << kind
    size = int.from_bytes(packet[1 : 1 + width])
    return (first >> 2) & 0xF, packet[1 + width : 1 + width + size]


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length in the new format, and where it ends. Subpackets have the same one."""
    first = data[at]
    if first < 192:
        return first, at + 1
    if first < 255:
        return ((first - 192) << 8) + data[at + 1] + 192, at + 2
    return int.from_bytes(data[at + 1 : at + 5]), at + 5


def _issuer(body: bytes, *, long: bool) -> str | None:
    """Look through the hashed subpackets, then the others."""
    width = 4 if long else 2
    at = 4
    for _ in range(2):
        size = int.from_bytes(body[at : at + width])
        area = body[at + width : at + width + size]
        found = _issuer_of(area)
        if found:
            return found
        at += width + size
    return None


def _issuer_of(area: bytes) -> str | None:
    at = 0
    while at < len(area):
        size, at = _new_length(area, at)
        kind, content = area[at] & 0x7F, area[at + 1 : at + size]
        if kind == _ISSUER and len(content) == _KEY_ID:
            return content.hex()
        if kind == _ISSUER_FINGERPRINT and len(content) > _KEY_ID:
            # The id is the end of a fingerprint of version 4, and the start of a later one.
            version, fingerprint = content[0], content[1:]
            return (fingerprint[-8:] if version == 4 else fingerprint[:8]).hex()
        at += max(size, 1)
    return None

"""WebSocket text frames as the server sends them: final, unmasked (RFC 6455 §5.2)."""

from __future__ import annotations

__all__ = ["combined", "text_frame"]


def text_frame(payload: bytes) -> bytes:
    """Frame a payload of UTF-8 text."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2) + payload
    return b"\x81\x7f" + length.to_bytes(8) + payload


def combined(stream: str, payload: bytes) -> bytes:
    """Wrap a payload as combined streams do (protocol §1)."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), payload)

"""A body that arrives in pieces, perhaps compressed, and may not become larger than so much."""

import zlib

_GZIP = 16 + zlib.MAX_WBITS


class Body:
    """The body so far.

    Args:
        encoding: The answer's Content-Encoding. One layer of gzip at most, as we asked for: layers
            within each other would multiply a thousandfold each.
        most: Bytes it may have, as sent and once unpacked.

    Raises:
        ValueError: the encoding is another one.
    """

    def __init__(self, encoding: str, most: int) -> None:
        kind = encoding.strip().lower()
        if kind not in {"", "identity", "gzip", "x-gzip"}:
            raise ValueError("the answer is packed in a way that was not asked for (only gzip is)")
        self._unpacker = zlib.decompressobj(_GZIP) if "gzip" in kind else None
        self._most = most
        self._data = bytearray()
        self._sent = 0

    def announced(self, length: str) -> None:
        """Take note of the Content-Length, if there is one.

        Raises:
            ValueError: it will be too large.
        """
        if length.isdecimal() and int(length[:20]) > self._most:
            self._refuse()

    def add(self, chunk: bytes) -> None:
        """Take in the next piece.

        Raises:
            ValueError: it became too large, or cannot be unpacked.
        """
        self._sent += len(chunk)
        if self._sent > self._most:
            self._refuse()
        # One byte more than there is room for: that it is too large must show.
        room = self._most - len(self._data) + 1
        self._data += _unpacked(self._unpacker, chunk, room) if self._unpacker else chunk
        if len(self._data) > self._most:
            self._refuse()

    def whole(self) -> bytes:
        """The body, now that all of it has arrived.

        Raises:
            ValueError: what was packed has no end.
        """
        if self._unpacker is not None and self._sent and not self._unpacker.eof:
            raise ValueError("the answer ended early")
        return bytes(self._data)

    def _refuse(self) -> None:
        raise ValueError(
            f"the answer is larger than max_bytes = {self._most}; raise it if that is meant"
        )


def _unpacked(unpacker: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    try:
        unpacked = unpacker.decompress(chunk, room)
    except zlib.error as why:
        raise ValueError("the answer cannot be unpacked") from why
    if unpacker.unused_data:
        raise ValueError("the answer holds something behind its end")
    return unpacked

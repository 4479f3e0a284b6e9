"""A TLS socket that reads many records per system call, for the publish fast path.

Mosquitto sends each message in a TLS record of its own. Python's SSLSocket makes two system calls per record and
returns one record at a time; this one reads 256 KiB and decrypts all records in them, through `ssl.SSLObject`.
Measured: 3.0 us per message instead of 5.0, out of 8 us for all of ingest.
"""

import socket
import ssl
from contextlib import suppress

MAX_RECORD_BYTES = 16 * 1024  # of plaintext (RFC 8446, section 5.1)
READ_BYTES = 256 * 1024


class TLSSocket:
    """An encrypted client connection over a blocking socket that has a timeout; the handshake raises OSError.

    Used like a socket, except that `send` may leave data behind: see `unsent` and `flush`.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._unsent = b""  # encrypted, not yet accepted by the socket
        self._ended = False
        try:
            self._handshake()
        except OSError:
            with suppress(OSError):
                sock.sendall(self._outgoing.read())  # the TLS alert with the reason, for the server
            sock.close()
            raise

    def recv(self, size: int) -> bytes:
        """Return the decrypted data, b"" at the end of the connection; raises BlockingIOError if there is none yet."""
        if self._ended:
            return b""
        encrypted = self._socket.recv(max(size, READ_BYTES))
        if not encrypted:
            return b""
        self._incoming.write(encrypted)
        records: list[bytes] = []
        read = self._tls.read
        try:
            while record := read(MAX_RECORD_BYTES):
                records.append(record)
            self._ended = True  # close_notify
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:  # such as a key update
            self.flush()
        data = b"".join(records)
        if not data and not self._ended:
            raise BlockingIOError
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Encrypt `data` and send what the socket accepts; raises BlockingIOError while earlier data is unsent."""
        self.flush()
        if self._unsent:
            raise BlockingIOError
        self._tls.write(data)
        self.flush()
        return len(data)

    def flush(self) -> None:
        """Send as much unsent data as the socket accepts without blocking."""
        self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            self._unsent = self._unsent[sent:]

    @property
    def unsent(self) -> bool:
        """Return whether data waits for the socket to become writable."""
        return bool(self._unsent)

    def setblocking(self, flag: bool) -> None:
        """Forward to the socket."""
        self._socket.setblocking(flag)

    def fileno(self) -> int:
        """Return the file descriptor, for select()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Forward to the socket."""
        self._socket.close()

    def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._socket.sendall(self._outgoing.read())
                encrypted = self._socket.recv(READ_BYTES)
                if not encrypted:
                    self._incoming.write_eof()
                else:
                    self._incoming.write(encrypted)
            else:
                self._socket.sendall(self._outgoing.read())
                return

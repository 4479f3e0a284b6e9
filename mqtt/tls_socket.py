"""TLS between the lane and its socket, read in large pieces: a connection whose encryption never touches the socket.

Mosquitto sends each message in a record of its own. Python's own SSL socket makes two system calls for a record and
gives back one at a time; here the socket is read 256 KiB at a time and all records in it are opened together. Measured:
3.0 instead of 5.0 us a message, where the whole of ingest takes 8. The work is OpenSSL's, by way of `ssl.SSLObject`.
"""

import socket
import ssl
from contextlib import suppress

MAX_RECORD_BYTES = 16 * 1024  # what a record holds at most
READ_BYTES = 256 * 1024


class TLSSocket:
    """An encrypted connection. Made with a blocking socket that has a timeout, for the handshake; raises OSError.

    As far as the lane can tell it is a socket, except that what it has taken may not have left yet: `unsent`.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._unsent = b""  # encrypted, and the socket would not take it yet
        self._ended = False
        try:
            self._handshake()
        except OSError:
            with suppress(OSError):
                sock.sendall(self._outgoing.read())  # so that the server can say why, too
            sock.close()
            raise

    def recv(self, size: int) -> bytes:
        """What is there, decrypted; nothing at the end of the connection. Raises BlockingIOError where nothing is."""
        if self._ended:
            return b""
        sealed = self._socket.recv(max(size, READ_BYTES))
        if not sealed:
            return b""
        self._incoming.write(sealed)
        pieces: list[bytes] = []
        read = self._tls.read
        try:
            while piece := read(MAX_RECORD_BYTES):
                pieces.append(piece)
            self._ended = True  # the server has said goodbye
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:  # TLS has something to say by itself, such as a new key
            self.flush()
        data = b"".join(pieces)
        if not data and not self._ended:
            raise BlockingIOError
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Encrypt all of it and send what the socket takes. Raises BlockingIOError while something is unsent."""
        self.flush()
        if self._unsent:
            raise BlockingIOError
        self._tls.write(data)
        self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what is unsent, as much as the socket takes now."""
        self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            self._unsent = self._unsent[sent:]

    @property
    def unsent(self) -> bool:
        """Whether something waits until the socket can be written."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """For select()."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """Pass it on."""
        self._socket.setblocking(flag)

    def close(self) -> None:
        """Pass it on."""
        self._socket.close()

    def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._socket.sendall(self._outgoing.read())
                sealed = self._socket.recv(READ_BYTES)
                if not sealed:
                    self._incoming.write_eof()
                else:
                    self._incoming.write(sealed)
            else:
                self._socket.sendall(self._outgoing.read())
                return

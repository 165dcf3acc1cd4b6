"""A wire between client and broker that can be cut."""

import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards every connection to the broker at `url`; `cut` breaks those there are and lets new ones come."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._target = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        login = f"{address.username}:{address.password}@" if address.username else ""
        place = f"{login}127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(address._replace(netloc=place))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            broker = socket.create_connection(self._target)
            self._sockets += [client, broker]
            for source, target in ((client, broker), (broker, client)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # Cut, or closed by the other side.

    def cut(self) -> None:
        """Breaks every connection at once, in both directions, without a word of AMQP."""
        broken, self._sockets = self._sockets, []
        for item in broken:
            try:
                item.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It has ended by itself.
            item.close()

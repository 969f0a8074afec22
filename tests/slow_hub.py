"""A data hub that answers some entities when it is told to, and others never."""

import json
import socket
import threading


class SlowHub:
    """Answers ids that begin with `held` when `release` is set, and drips the heads of others for ever."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/{{type}}/{{id}}"
        self.release, self._over = threading.Event(), threading.Event()
        self.asked: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self.release.set()
        self._listening.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            try:
                id = client.recv(65536).split(b" ")[1].decode().rpartition("/")[2]
                self.asked.append(id)
                if id.startswith("drip"):
                    self._drip(client, b"X-Slow: 1\r\n")
                elif id.startswith("informed"):
                    self._drip(client, b"\r\nHTTP/1.1 103 Early Hints\r\n")
                if id.startswith("held"):
                    self.release.wait(30)
                body = json.dumps({"text": "x" * 1000}).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            except OSError:
                return

    def _drip(self, client: socket.socket, again: bytes) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n" if again.startswith(b"X") else b"HTTP/1.1 103 Early Hints\r\n")
        while not self._over.wait(0.02):
            client.sendall(again)

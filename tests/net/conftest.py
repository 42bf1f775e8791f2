"""A server on the loopback that answers what a test tells it to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest


class Script:
    """Requests seen, and what answers them: (path, query, headers, body) -> (status, headers, body)."""

    def __init__(self):
        self.seen = []
        self.answer = lambda *_: (200, {}, b"{}")
        self.url = ""


@pytest.fixture
def server():
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self, body=b""):
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            script.seen.append((self.command, parts.path, query, dict(self.headers), body))
            status, headers, content = script.answer(parts.path, query, dict(self.headers), body)
            if status is None:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self):
            self.do_GET(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{httpd.server_port}"
    yield script
    httpd.shutdown()
    httpd.server_close()
    thread.join()

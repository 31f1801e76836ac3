#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shopping baskets in memory, over HTTP

    POST /baskets/NAME         the body is put into the basket; {"position": N}
    GET  /baskets/NAME?from=N  what lies in it, from the N-th on, 500 at most; {"items": [...]}
"""

import http.server
import json
import threading
import urllib.parse

PAGE = 500
baskets = {}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; requests come one after the other"""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves as one

    def answer(self, status, value):
        text = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def basket(self):
        """(name, query) of the basket in the path, or (None, {})"""
        url = urllib.parse.urlsplit(self.path)
        _, top, name = (url.path + "//").split("/")[:3]
        return (name if top == "baskets" else None), urllib.parse.parse_qs(url.query)

    def do_GET(self):
        name, query = self.basket()
        first = int(query.get("from", ["0"])[0])
        if name not in baskets:
            self.answer(404, {"error": "there is no such basket"})
        else:
            self.answer(200, {"items": baskets[name][first:first + PAGE]})

    def do_POST(self):
        name, _ = self.basket()
        item = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if not name:
            self.answer(404, {"error": "POST to /baskets/NAME"})
            return
        with lock:
            basket = baskets.setdefault(name, [])
            basket.append(item)
            position = len(basket)
        self.answer(201, {"position": position})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("", 8000), Handler)
    server.daemon_threads = True
    server.serve_forever()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accounts in an SQLite database, over HTTP: ledger.py FILE

    POST /transfers          {"note": TEXT, "from": NAME, "to": NAME, "amount": N}; {"id": N}
    GET  /transfers?after=N  those with a higher number, 500 at most: [[id, note, from, to, amount], ...]
    GET  /balances           {NAME: N, ...}; their sum is always 0

An answer is given when the transfer is in the file, and synced.
"""

import http.server
import json
import sqlite3
import sys
import threading
import urllib.parse

PAGE = 500
SCHEMA = """
CREATE TABLE IF NOT EXISTS transfers (id INTEGER PRIMARY KEY, note TEXT, payer TEXT, payee TEXT,
                                      amount INTEGER);
CREATE TABLE IF NOT EXISTS balances (name TEXT PRIMARY KEY, amount INTEGER);
"""
PAY = """INSERT INTO balances VALUES (?, ?)
         ON CONFLICT (name) DO UPDATE SET amount = amount + excluded.amount"""


def transfer(database, note, payer, payee, amount):
    """Move an amount, all of it or nothing; return the number of the transfer"""
    with database:
        database.execute(PAY, (payer, -amount))
        database.execute(PAY, (payee, amount))
        return database.execute(
            "INSERT INTO transfers (note, payer, payee, amount) VALUES (?, ?, ?, ?)",
            (note, payer, payee, amount)).lastrowid


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; requests come one after the other"""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves as one
    database = None
    lock = threading.Lock()  # a transaction has the database to itself

    def answer(self, status, value):
        text = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def ask(self, statement, *values):
        with self.lock:
            return self.database.execute(statement, values).fetchall()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/balances":
            self.answer(200, dict(self.ask("SELECT * FROM balances ORDER BY name")))
        elif url.path == "/transfers":
            after = int(urllib.parse.parse_qs(url.query).get("after", ["0"])[0])
            self.answer(200, self.ask("SELECT * FROM transfers WHERE id > ? ORDER BY id LIMIT ?",
                                      after, PAGE))
        else:
            self.answer(404, {"error": "GET /balances or /transfers"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            order = json.loads(body)
            with self.lock:
                number = transfer(self.database, str(order["note"]), str(order["from"]),
                                  str(order["to"]), int(order["amount"]))
        except (ValueError, KeyError, TypeError) as e:
            self.answer(400, {"error": f"not a transfer: {e}"})
            return
        self.answer(201, {"id": number})

    def log_message(self, *_):
        pass


def main():
    Handler.database = sqlite3.connect(sys.argv[1], check_same_thread=False)
    # With its usual journal SQLite refuses to write after a move, see README.md.
    Handler.database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
    server = http.server.ThreadingHTTPServer(("", 8001), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()

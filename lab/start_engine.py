#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Start a Docker engine in the background and return when it serves.

    start_engine.py --log FILE --pid-file FILE [--timeout S] -- COMMAND ARGS...

The engine tells its readiness by the sd_notify protocol (a datagram "READY=1" to NOTIFY_SOCKET),
so nothing is polled. Three ends are possible: ready (exit status 0), the engine ended first, or
the time is up (1; the engine is killed and the end of its log goes to stderr). The process id
written to --pid-file is that of COMMAND.
"""

import argparse
import os
import select
import signal
import socket
import subprocess
import sys
import time


def parse():
    """Return the command line as a namespace."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", required=True)
    parser.add_argument("--pid-file", required=True)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def await_ready(notify, pid, timeout):
    """Wait for the engine behind pid; return None when it is ready, else what went wrong."""
    end = time.monotonic() + timeout
    pidfd = os.pidfd_open(pid)
    while True:
        left = end - time.monotonic()
        readable = select.select([notify, pidfd], [], [], left)[0] if left > 0 else []
        if notify in readable:
            if b"READY=1" in notify.recv(4096).splitlines():
                return None
        elif pidfd in readable:
            return "the engine ended before it was ready"
        elif left <= 0:
            return f"the engine was not ready after {timeout:g} s"


def log_tail(path, lines=5):
    """Return the last lines of a log file."""
    with open(path, errors="replace") as log:
        return "".join(log.readlines()[-lines:])


def main():
    """Start, wait, report. Return the exit status."""
    args = parse()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    # An abstract address belongs to a network namespace and the engine lives in another one:
    # it has to be a path, and one that the engine's private /run does not hide.
    address = args.pid_file + ".notify"
    notify.bind(address)
    try:
        with open(args.log, "wb") as log:
            engine = subprocess.Popen(
                args.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": address},
                start_new_session=True,
            )
        with open(args.pid_file + ".new", "w") as out:
            out.write(f"{engine.pid}\n")
        os.rename(args.pid_file + ".new", args.pid_file)
        problem = await_ready(notify, engine.pid, args.timeout)
    finally:
        os.unlink(address)
    if problem is None:
        return 0
    engine.send_signal(signal.SIGKILL)
    print(f"{problem}; its log ends:\n{log_tail(args.log)}", file=sys.stderr, end="")
    return 1


if __name__ == "__main__":
    sys.exit(main())

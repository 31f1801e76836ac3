# SPDX-License-Identifier: Apache-2.0
"""One odd thing beside the service, in a process of its own: what public trackers say does not survive a move.

    python3 -c "$(cat oddities.py)" NAME

Who connects to port 7100 is told what has become of it, one line, and the connection ends.
"""
import ctypes
import os
import socket
import struct
import sys
import threading
import time

PORT = 7100
libc = ctypes.CDLL(None, use_errno=True)


def own_address():
    return socket.gethostbyname(socket.gethostname())


def nothing():
    return lambda: "nothing"


def mptcp():
    """Listens by MPTCP, if it may; "tcp" if not."""
    try:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        return lambda: "tcp"
    s.listen()
    return lambda: "mptcp" if s.fileno() >= 0 else ""


def zombie():
    """A child that has ended, and nobody asks for its status"""
    child = os.fork()
    if child == 0:
        os._exit(3)

    def state():
        with open(f"/proc/{child}/stat") as f:
            return f.read().split()[2]
    return state


def own():
    """Port 7100 itself is bound to the container's own address, and a connected UDP socket."""
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.connect((own_address(), 7101))
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((own_address(), 7102))
    receiver.settimeout(5)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def state():
        sender.sendto(b"to the address it has now", (own_address(), 7102))
        return f"heard {len(receiver.recv(100))}"
    return state


def accept_queue():
    """Nobody accepts at port 7103, where a connection waits."""
    s = socket.create_server(("", 7103))
    waits = socket.create_connection(("127.0.0.1", 7103))
    return lambda: f"listens {s.getsockname()[1]} {waits.fileno() >= 0}"


def datagrams():
    """A hundred datagrams now and then, read slowly: are there gaps?"""
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(("127.0.0.1", 9999))
    w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    seen = dict(last=0, gaps=0)

    def send():
        sent = 0
        while True:
            for _ in range(60):
                sent += 1
                w.sendto(b"%d" % sent, ("127.0.0.1", 9999))
            time.sleep(4)

    def read():
        while True:
            n = int(r.recv(100))
            seen["gaps"] += n - seen["last"] - 1
            seen["last"] = n
            time.sleep(0.05)
    threading.Thread(target=send, daemon=True).start()
    threading.Thread(target=read, daemon=True).start()
    return lambda: f"gaps {seen['gaps']}"


def timer():
    """Ticks every 10 ms: how often since the last look, in 0.3 s"""
    fd = libc.timerfd_create(1, 0)
    libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(0, 10_000_000, 0, 10_000_000), None)
    ticks = [0]

    def run():
        while True:
            ticks[0] += struct.unpack("<Q", os.read(fd, 8))[0]
    threading.Thread(target=run, daemon=True).start()

    def state():
        before = ticks[0]
        time.sleep(0.3)
        return "ticks" if ticks[0] > before else "is still"
    return state


def affinity():
    """A thread bound to CPU 0, the process itself to the last one"""
    ids = []

    def pinned():
        os.sched_setaffinity(0, {0})
        ids.append(threading.get_native_id())
        time.sleep(1e6)
    threading.Thread(target=pinned, daemon=True).start()
    while not ids:
        time.sleep(0.01)
    last = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {last})
    return lambda: (f"{sorted(os.sched_getaffinity(ids[0]))} "
                    f"{sorted(os.sched_getaffinity(os.getpid())) == [last]}")


def options():
    """Options of sockets, and a multicast group on which somebody sends ten datagrams a second"""
    member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    member.bind(("239.1.2.3", 5555))
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                      socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1"))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    got = []

    def send():
        while True:
            sender.sendto(b"x", ("239.1.2.3", 5555))
            time.sleep(0.1)

    def receive():
        while True:
            member.recv(100)
            got.append(time.monotonic())
    threading.Thread(target=send, daemon=True).start()
    threading.Thread(target=receive, daemon=True).start()
    listener = socket.create_server(("", 5556))
    listener.setsockopt(socket.IPPROTO_TCP, 18, 12345)  # TCP_USER_TIMEOUT
    listener.setsockopt(socket.IPPROTO_TCP, 9, 7)       # TCP_DEFER_ACCEPT
    listener.setsockopt(socket.IPPROTO_TCP, 23, 5)      # TCP_FASTOPEN
    datagrams_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams_.bind(("", 5557))
    datagrams_.setsockopt(socket.IPPROTO_IP, 12, 1)     # IP_RECVTTL
    datagrams_.setsockopt(socket.SOL_SOCKET, 35, 1)     # SO_TIMESTAMPNS

    def state():
        time.sleep(0.5)
        hears = any(t > time.monotonic() - 0.4 for t in got)
        values = [listener.getsockopt(6, 18), listener.getsockopt(6, 9), listener.getsockopt(6, 23),
                  datagrams_.getsockopt(0, 12), datagrams_.getsockopt(1, 35)]
        return f"hears {hears} {values}"
    return state


def thread_file():
    """A file in /proc of another thread"""
    ids = []

    def sleeps():
        ids.append(threading.get_native_id())
        time.sleep(1e6)
    threading.Thread(target=sleeps, daemon=True).start()
    while not ids:
        time.sleep(0.01)
    file = open(f"/proc/self/task/{ids[0]}/schedstat")
    return lambda: file.name


def mqueue(flags=os.O_CREAT | os.O_RDWR, close=True):
    """A POSIX message queue that nobody has open"""
    rt = ctypes.CDLL("librt.so.1", use_errno=True)
    queue = rt.mq_open(b"/jobs", flags, 0o600, None)
    rt.mq_send(queue, b"job", 3, 1)
    if close:
        rt.mq_close(queue)
    return lambda: f"queue {queue > 0}"


def mqueue_unlinked():
    """One that is open, and has no name any more"""
    state = mqueue(close=False)
    ctypes.CDLL("librt.so.1").mq_unlink(b"/jobs")
    return state


def ghost():
    """A large file that is open, and has no name any more"""
    file = open("/app/big", "w+b")
    for _ in range(260):
        file.write(b"x" * (1 << 20))
    file.flush()
    os.unlink("/app/big")
    return lambda: str(os.fstat(file.fileno()).st_size)


def semaphore():
    """Taken with SEM_UNDO"""
    sem = libc.semget(0x1234, 1, 0o1600)
    libc.semctl(sem, 0, 16, 1)
    libc.semop(sem, struct.pack("<Hhh", 0, -1, 0x1000), 1)
    return lambda: f"value {libc.semctl(sem, 0, 12)}"


def serve(state, host):
    server = socket.create_server((host, PORT))
    while True:
        connection = server.accept()[0]
        connection.sendall(state().encode() + b"\n")
        connection.close()


if __name__ == "__main__":
    name = sys.argv[1]
    if os.fork() == 0:
        serve(globals()[name](), own_address() if name == "own" else "")
    os.execvp("python3", ["python3", "-u", "/app/offload.py"])

"""Checks of what fails: guests, daemons, the disk, clients that mean harm."""

import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time

from lab import (
    DNS_PORT, IS_ROOT, READER, SOON_S, STRANGER, Failed, Lab, Skipped, command_guest,
    connect, curl, ensure, get, hello_guest, is_alive, receive, receive_all,
    tcp_sockets, until,
)

# How much later than promised something may come on a machine with other work.
SLACK_S = 3.0


def serves(front, seconds=SOON_S):
    """The service recovers by itself: some client's bytes come back."""

    def echo():
        try:
            with connect(front) as client:
                client.sendall(b"there")
                return receive(client, 5) == b"there"
        except (OSError, Failed):
            return False

    until("it serves again", echo, seconds)


def refuses(front):
    """Whether a new client is reset, be it so soon that it is still connecting."""
    try:
        with connect(front) as client:
            return is_refused(client)
    except ConnectionResetError:
        return True


def is_refused(client):
    """Whether a held connection ends with a reset."""
    try:
        return receive_all(client) and False
    except ConnectionResetError:
        return True


def servfail(lab, name):
    until(f"{name} is SERVFAIL while it failed", lambda: lab.question(name)[0] == "SERVFAIL")


def guest_never_ready(lab):
    """a guest that never gets ready: reset within hold_max, SERVFAIL, and back when it is well"""
    well = os.path.join(lab.dir, "well")
    guest = command_guest("unless", well, "before=never", "echo")
    front = lab.add("sick", guest, 'hold_max = "1s"')
    began = time.monotonic()
    ensure(refuses(front), "its client is not reset")
    took = time.monotonic() - began
    ensure(0.9 <= took <= 1 + SLACK_S, f"its client is reset after {took:.2f} s, not 1 s")
    servfail(lab, "sick")
    lab.write("well", "")
    serves(front)


def guest_dies_booting(lab):
    """a guest that dies while it boots: reset at once, not at hold_max; back when it is well"""
    well = os.path.join(lab.dir, "well")
    guest = command_guest("unless", well, "before=dies", "echo")
    front = lab.add("sick", guest, 'hold_max = "30s"')
    began = time.monotonic()
    ensure(refuses(front), "its client is not reset")
    took = time.monotonic() - began
    ensure(took <= 2 * SLACK_S, f"its client is reset only after {took:.2f} s")
    servfail(lab, "sick")
    lab.write("well", "")
    serves(front)


def guest_dies_serving(lab):
    """a guest that dies with live connections: they end, and the next client gets a new one"""
    front = lab.add("www", hello_guest())
    stuck = lab.add("stuck", command_guest("stuck"))
    with connect(front) as idle, connect(stuck) as unread:
        get(idle)
        unread.sendall(b"nobody reads this")
        until("it runs", lambda: lab.state("stuck") == "running")
        pids = [lab.domain(name)["id"] for name in ("www", "stuck")]
        until("its bytes reach the guest", lambda: unread_bytes(lab.domain("stuck")["address"]))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        unread.settimeout(SOON_S)
        ensure(is_refused(unread), "a connection with bytes under way does not end with a reset")
        idle.settimeout(SOON_S)
        ensure(receive_all(idle) == b"", "a silent connection does not end")
    page = until("the next client gets a page", lambda: curl(front)[0])
    ensure("requests: 1" in page, f"of a new guest: {page!r}")
    ensure(lab.domain("www")["id"] not in pids, "it has the dead guest's number")


def commits(lab):
    return {commit["id"] for commit in lab.log("main")}


def ensure_kept(lab, before):
    lost = before - commits(lab)
    ensure(not lost, f"{len(lost)} of {len(before)} commits are lost")


def unread_bytes(address):
    """How many bytes connections of the guest there have that it has not read."""
    return sum(n for local, state, n in tcp_sockets() if local == (address, 8080) and state == "01")


def serve_is_killed(lab):
    """SIGKILL of jitsu serve: the domain lives, and the next one serves it at once"""
    front = lab.add("www", hello_guest())
    ensure(curl(front)[0], "the first page")
    pid = lab.domain("www")["id"]
    lab.kill(lab.serve)
    ensure(is_alive(pid), "the domain died with it")
    lab.start_serve()
    page = until("it serves again", lambda: curl(front)[0])
    ensure("requests: 2" in page, f"of the same guest: {page!r}")
    ensure(lab.domain("www")["id"] == pid, "another process runs")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")


def toolstack_is_killed(lab):
    """SIGKILL of the toolstack: live and new clients go on, the next one adopts the domain"""
    front = lab.add("www", hello_guest(), 'idle = "2s"\nttl = "1s"')
    with connect(front) as client:
        get(client)
        before = lab.domain("www")
        log = commits(lab)
        lab.kill(lab.toolstack)
        ensure("requests: 2" in get(client), "a live connection does not go on")
        ensure(curl(front)[0], "a new client is not served")
        lab.start_toolstack()
        after = until("it is adopted", lambda: (d := lab.domain("www"))["state"] == "running" and d)
        ensure(after["id"] == before["id"], f"process {before['id']} became {after['id']}")
        ensure(after["address"] == before["address"], f"{before} became {after}")
        ensure("requests: 4" in get(client), "the live connection was broken after all")
        ensure_kept(lab, log)
    until("it sleeps when nobody needs it", lambda: lab.state("www") == "absent")
    ensure(not is_alive(before["id"]), "its process is still there")
    ensure(curl(front)[0], "it does not start again")


def no_toolstack_yet(lab):
    """a name of ours before the toolstack was heard of: SERVFAIL, and never a denial"""
    front = lab.add("www", hello_guest())
    ensure(curl(front)[0], "the first page")
    lab.kill(lab.serve)
    lab.kill(lab.toolstack)
    lab.spawn_serve()
    seen = set()
    until("it answers", lambda: seen.add(lab.question("www")[0]) or seen - {None})
    ensure("NXDOMAIN" not in seen, "a name that exists is denied")
    lab.start_toolstack()
    until("the name is there again", lambda: lab.question("www")[0] == "NOERROR")


def both_are_killed(lab):
    """SIGKILL of both while a domain boots: nothing half-made is left, and it serves again"""
    front = lab.add("www", hello_guest("1s"))
    with connect(front):
        until("it boots", lambda: lab.domain("www")["id"])
        lab.kill(lab.toolstack)
        lab.kill(lab.serve)
    lab.start_toolstack()
    lab.start_serve()
    page = until("it serves", lambda: curl(front)[0])
    ensure(page.startswith("Hello from www."), f"curl got {page!r}")
    address = f"JITSU_ADDRESS={lab.domain('www')['address']}"
    running = [pid for pid, environ in processes() if address in environ]
    ensure(len(running) == 1, f"{len(running)} processes have its address")


def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ") as environ:
                yield int(pid), environ.read().split("\0")
        except OSError:
            continue


def drain(lab):
    """SIGTERM of jitsu serve: nothing new is taken, what is live ends in peace"""
    front = lab.add("echo", command_guest("echo"))
    with connect(front) as client:
        client.sendall(b"a")
        ensure(receive(client, 1) == b"a", "the first byte")
        lab.serve.send_signal(signal.SIGTERM)
        until("new clients are refused", lambda: curl(front)[1] == 7)
        client.sendall(b"b" * 100_000)
        ensure(receive(client, 100_000) == b"b" * 100_000, "a live connection does not go on")
        ensure(lab.serve.poll() is None, "it has ended before its client")
    code = lab.serve.wait(SOON_S)
    ensure(code == 0, f"its exit code is {code}")
    ensure(lab.state("echo") == "running", "the domain was stopped with it")
    lab.start_serve()
    serves(front)


def reload(lab):
    """SIGHUP: a new zone and new roles count; a wrong configuration changes nothing"""
    right = lab.read("jitsu.toml")
    ensure(lab.dig("a.more.test")[0] == "REFUSED", "a zone that is not ours yet")
    lab.write("jitsu.toml", right + '[[zone]]\nname = "more.test"\n')
    lab.serve.send_signal(signal.SIGHUP)
    until("the new zone counts", lambda: lab.dig("a.more.test")[0] == "NXDOMAIN")
    lab.write("jitsu.toml", "[limit]\n")
    lab.serve.send_signal(signal.SIGHUP)
    until("the mistake is told", lambda: "did you mean `limits`?" in lab.read("jitsu.log"))
    ensure(lab.dig("a.more.test")[0] == "NXDOMAIN", "a wrong configuration has changed something")
    if not IS_ROOT:
        return
    ensure(lab.ask("status", user=STRANGER, check=False).returncode != 0, "a stranger may look")
    right = lab.read("toolstack.toml")
    lab.write("toolstack.toml", right.replace(f'"{READER}"', f'"{READER}", "{STRANGER}"'))
    lab.toolstack.send_signal(signal.SIGHUP)
    allowed = lambda: lab.ask("status", user=STRANGER, check=False).returncode == 0
    until("the new role counts", allowed)


def roles(lab):
    """a reader may look; what a reader or a stranger tries to change is refused, and recorded"""
    if not IS_ROOT:
        raise Skipped("only root can become others")
    lab.add("www", hello_guest())
    ensure(lab.ask("status", user=READER, check=False).returncode == 0, "a reader may not look")
    ensure(lab.ask("status", user=STRANGER, check=False).returncode != 0, "a stranger may look")
    for user in (READER, STRANGER):
        done = lab.ask("start", "www", user=user, check=False)
        ensure(done.returncode != 0, f"user {user} may start a domain")
        ensure("role" in done.stderr, f"the refusal does not say why: {done.stderr!r}")
        by_user = lambda: [c for c in lab.log("domain/www") if f"uid={user} " in c["author"]]
        commit = until("the refusal is recorded", by_user)[0]
        ensure(commit["fields"]["method"] == "want", f"recorded as {commit}")
        ensure(commit["fields"]["result"] != "ok", f"recorded as {commit}")
    ensure(lab.state("www") == "absent", "it was started")


def hostile_socket(lab):
    """bytes that are no message, on the toolstack's socket: the connection ends, nothing else"""
    pid, numbers = lab.toolstack.pid, random.Random(1)
    hostile = [
        b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", struct.pack(">I", 0), struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 4 << 20), struct.pack(">I", 100_000) + b"\x91" * 100_000,
        # An array, and bytes, of four thousand million.
        struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff",
        struct.pack(">I", 5) + b"\xc6\xff\xff\xff\xff",
    ]
    hostile += [numbers.randbytes(numbers.randrange(1, 200)) for _ in range(200)]
    for data in hostile:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SOON_S)
            client.connect(lab.socket)
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                receive_all(client)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except TimeoutError:
                raise Failed(f"the connection stays open after {data[:20]!r}")
    # Connections that say nothing use up no place for others.
    silent = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    for client in silent:
        client.connect(lab.socket)
    lab.add("www", hello_guest())
    for client in silent:
        client.close()
    ensure(lab.toolstack.poll() is None and lab.toolstack.pid == pid, "the toolstack has ended")
    ensure("panicked" not in lab.read("toolstack.log"), "the toolstack panicked")


def hostile_packets(lab):
    """bytes that are no question, by UDP and TCP: nothing but perhaps an error comes back"""
    numbers = random.Random(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(2000):
            client.sendto(numbers.randbytes(numbers.randrange(0, 600)), (lab.front, DNS_PORT))
    for _ in range(100):
        with connect((lab.front, DNS_PORT)) as client:
            data = numbers.randbytes(numbers.randrange(1, 600))
            client.sendall(struct.pack(">H", numbers.randrange(len(data) + 1)) + data)
    front = lab.add("www", hello_guest())
    ensure(lab.question("www")[0] == "NOERROR", "a question is not answered any more")
    ensure(curl(front)[0], "nor a client")
    ensure("panicked" not in lab.read("jitsu.log"), "jitsu serve panicked")


def full_disk(bin_dir):
    """a full disk: cold starts are refused and say why, warm ones go on; room made, all is well"""
    if not IS_ROOT:
        raise Skipped("only root can mount a small disk")
    disk = tempfile.mkdtemp(prefix="jitsu-e2e-disk-")
    # In a mount namespace of this run: nobody else sees it.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    lab = Lab(bin_dir, state_dir=os.path.join(disk, "state"))
    try:
        fill_and_free(lab, os.path.join(disk, "filler"))
    finally:
        is_clean = lab.close()
        subprocess.run(["umount", disk], check=True)
        os.rmdir(disk)
    ensure(is_clean, "something that was started is left")


def fill_and_free(lab, filler):
    warm = lab.add("warm", hello_guest(), 'idle = "5m"')
    cold = lab.add("cold", hello_guest())
    ensure(curl(warm)[0], "the warm service's first page")
    before = commits(lab)
    fill(filler)

    # The last page of the store's file may have room for a few small commits more.
    for number in range(200):
        if lab.ask("branch", "create", f"filler/{number}", check=False).returncode != 0:
            break
    done = lab.ask("start", "cold", check=False)
    ensure(done.returncode != 0, "a start is accepted that cannot be kept")
    ensure("store" in done.stderr, f"the error does not name the store: {done.stderr!r}")
    ensure(refuses(cold), "a client of a cold service is not reset")
    servfail(lab, "cold")
    ensure(lab.state("cold") != "running", "it runs, and nobody has written that down")
    ensure(curl(warm)[0], "the warm service does not go on")
    ensure(lab.question("warm")[0] == "NOERROR", "the warm name is not answered any more")

    os.remove(filler)
    until("the cold service starts, without a restart", lambda: curl(cold)[0])
    ensure_kept(lab, before)
    after = commits(lab)
    lab.kill(lab.toolstack)
    lab.start_toolstack()
    ensure_kept(lab, after)
    ensure(curl(cold)[0], "the cold service does not go on after a restart")


def fill(path):
    """Writes until nothing more can be written, down to the last byte."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    size = 1 << 20
    while size:
        try:
            size = size if os.write(file, b"\0" * size) == size else size // 2
        except OSError:
            size //= 2
    os.close(file)


CHECKS = [
    guest_never_ready, guest_dies_booting, guest_dies_serving, serve_is_killed,
    toolstack_is_killed, no_toolstack_yet, both_are_killed, drain, reload, roles, hostile_socket,
    hostile_packets,
]
# It makes its lab itself.
ALONE = [full_disk]

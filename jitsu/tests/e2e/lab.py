"""Both daemons in a folder of their own, on loopback addresses of their own, and real clients.

Owns processes and patience. Nothing here sleeps to wait: everything is polled, with a deadline.
It must not know what is checked.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
IS_ROOT = os.geteuid() == 0

# Numbers of users that need no name: `jitsu serve`, one who may look, one who may nothing.
SERVE, READER, STRANGER = 65532, 65531, 65530
GROUP = 65534

DNS_PORT = 5300
# How many times slower than usual this machine is: one that is emulated.
SLOW = float(os.environ.get("JITSU_E2E_SLOW", 1.0))
# How long something may take that should take no time at all, on a machine with other work.
SOON_S = 10.0 * SLOW
# How long between two looks at what is waited for: looking takes time from it.
LOOK_S = 0.01 * SLOW

TOOLSTACK = """
{settings}
socket = "{dir}/toolstack.sock"
{group}
state_dir = "{state}"
runtime_dir = "{dir}/run"
addresses = "{domains}"
[roles]
read = ["{reader}"]
summon = ["{serve}"]
[limits]
backoff_min = "100ms"
backoff_max = "400ms"
record_retry = "100ms"
{limits}
"""

JITSU = """
toolstack = "{dir}/toolstack.sock"
[dns]
listen = ["{front}:{dns_port}"]
[[zone]]
name = "e2e.test"
negative_ttl = "1s"
[limits]
backoff_min = "200ms"
backoff_max = "400ms"
drain = "20s"
facts = "100ms"
"""


class Failed(Exception):
    """A check found something else than it should."""


class Skipped(Exception):
    """A check cannot be made here."""


def ensure(is_so, what):
    if not is_so:
        raise Failed(what)


def until(what, look, seconds=SOON_S):
    """Looks again and again until it is so, and gives what was seen."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(LOOK_S)


def during(seconds, what, look):
    """Looks again and again: it must be so all the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ensure(look(), what)
        time.sleep(0.05)


def is_listening(address):
    """Looks without connecting: a connection would wake a service."""
    return any(local == address and state == "0A" for local, state, _ in tcp_sockets())


def tcp_sockets():
    """The local address, the state and the bytes not yet read of every IPv4 socket."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    for _, local, _, state, queues, *_ in rows:
        address, port = local.split(":")
        address = socket.inet_ntoa(bytes.fromhex(address)[::-1])
        yield (address, int(port, 16)), state, int(queues.split(":")[1], 16)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_guest(mode, *words):
    """The `guest` of a domain that runs guest.py."""
    argv = [sys.executable, os.path.join(HERE, "guest.py"), "{address}", mode, *words]
    return f"guest = {{ command = {{ argv = {json.dumps(argv)} }} }}"


def hello_guest(boot="0s"):
    return f'guest = {{ hello = {{ port = 8080, boot = "{boot}" }} }}'


class Lab:
    """One toolstack and one `jitsu serve`."""

    count = 0
    # When a guest counts as ready.
    ready = "{ port = 8080 }"

    def __init__(self, bin_dir, state_dir=None, settings="", limits=""):
        """`settings` and `limits` are more keys of the toolstack's configuration."""
        Lab.count += 1
        self.bin_dir = bin_dir
        self.dir = tempfile.mkdtemp(prefix="jitsu-e2e-")
        os.chmod(self.dir, 0o755)
        state_dir = state_dir or os.path.join(self.dir, "state")
        # Two runs at once, and the labs of one run, have addresses of their own.
        run = os.getpid() % 50
        self.front = f"127.{100 + run}.{Lab.count}.1"
        self.socket = os.path.join(self.dir, "toolstack.sock")
        self.fronts = []
        words = dict(
            dir=self.dir, state=state_dir, front=self.front, dns_port=DNS_PORT,
            domains=f"127.{150 + run}.{Lab.count}.0/24", reader=READER, serve=SERVE,
            group=f'socket_group = "{GROUP_NAME}"' if IS_ROOT else "",
            settings=settings, limits=limits,
        )
        self.write("toolstack.toml", TOOLSTACK.format(**words))
        self.write("jitsu.toml", JITSU.format(**words))
        self.toolstack = self.serve = None
        self.start_toolstack()
        self.start_serve()

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.dir, name)) as file:
            return file.read()

    # Daemons.

    def spawn(self, program, user=None):
        config = os.path.join(self.dir, f"{program}.toml")
        argv = [os.path.join(self.bin_dir, program), "serve", "--config", config]
        with open(os.path.join(self.dir, f"{program}.log"), "ab") as log:
            return subprocess.Popen(
                as_user(user, argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start_toolstack(self):
        self.toolstack = self.spawn("toolstack")
        until("the toolstack answers", lambda: self.runs(self.toolstack) and self.answers())

    def spawn_serve(self):
        self.serve = self.spawn("jitsu", SERVE if IS_ROOT else None)

    def start_serve(self):
        self.spawn_serve()
        answers = lambda: self.dig("no-such.e2e.test")[0] == "NXDOMAIN"
        until("jitsu serve answers", lambda: self.runs(self.serve) and answers())
        # Each service is served when it has been heard of.
        until("jitsu serve listens", lambda: all(map(is_listening, self.fronts)))

    def runs(self, daemon):
        ensure(daemon.poll() is None, f"{daemon.args} has ended with {daemon.returncode}")
        return True

    def answers(self):
        return self.ask("status", check=False).returncode == 0

    def kill(self, daemon, how=signal.SIGKILL):
        daemon.send_signal(how)
        return daemon.wait(SOON_S)

    # The command line.

    def ask(self, *words, user=None, check=True):
        argv = [os.path.join(self.bin_dir, "jitsu"), "--socket", self.socket, "--json", *words]
        done = subprocess.run(as_user(user, argv), capture_output=True, text=True, timeout=60)
        how = f"jitsu {' '.join(words)}: exit code {done.returncode}: {done.stderr}"
        ensure(not check or done.returncode == 0, how)
        return done

    def json(self, *words, **how):
        return json.loads(self.ask(*words, **how).stdout)

    def store(self, *words, check=True):
        """A command of `jitsu store`. Gives what it says, errors included."""
        argv = [os.path.join(self.bin_dir, "jitsu"), "store", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        how = f"jitsu store {' '.join(words)}: exit code {done.returncode}: {done.stderr}"
        ensure(not check or done.returncode == 0, how)
        return done.stdout + done.stderr

    def service(self, name):
        services = self.json("status")["services"]
        return next((one for one in services if one["name"] == name), None)

    def domain(self, name):
        domains = self.json("status")["domains"]
        return next((one for one in domains if one["name"] == name), None)

    def state(self, name):
        domain = self.domain(name)
        return domain["state"] if domain else "absent"

    def facts(self, name):
        return self.service(name)["facts"]

    def log(self, rev, count=1000):
        return self.json("log", rev, "-n", str(count))

    def branches(self):
        return [branch["name"] for branch in self.json("branch", "list")]

    def starts(self, name):
        """How many times a domain was asked to run, as its branch tells."""
        commits = [commit["fields"] for commit in self.log(f"domain/{name}")]
        asked = [f for f in commits if (f.get("method"), f.get("phase")) == ("want", "asked")]
        return len([f for f in asked if json.loads(f["arguments"])["wanted"] == "running"])

    def add(self, name, guest, settings="", port=8080):
        """Declares a service and its domain. Gives the address of its front."""
        front = (self.front, 8000 + len(self.fronts))
        listen = f'listen = [{{ on = "{front[0]}:{front[1]}", to = {port} }}]'
        self.declare(name, guest, f'names = ["{name}.e2e.test"]\n{listen}\n{settings}')
        self.fronts.append(front)
        until(f"there is a listener for {name}", lambda: is_listening(front))
        return front

    def add_direct(self, name, guest, settings=""):
        """Declares a service without a proxy, for every name below its own."""
        names = f'names = ["*.{name}.e2e.test"]'
        self.declare(name, guest, f'front = "direct"\n{names}\n{settings}')
        # Nothing but a question for an address wakes it.
        known = lambda: self.dig(f"x.{name}.e2e.test", "TXT")[0] == "NOERROR"
        until(f"the names of {name} are known", known)

    def declare(self, name, guest, spec):
        text = f"[domain.{name}]\n{guest}\n[service.{name}]\nready = {self.ready}\n{spec}\n"
        self.ask("service", "add", "--file", self.write(f"{name}.toml", text))

    # Clients.

    def dig(self, name, kind="A", *more):
        argv = [
            "dig", f"@{self.front}", "-p", str(DNS_PORT), "+tries=1", "+time=15",
            "+noall", "+comments", "+answer", *more, name, kind,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        lines = done.stdout.splitlines()
        code = next((l.split("status: ")[1].split(",")[0] for l in lines if "status: " in l), None)
        answers = [l.split() for l in lines if l and not l.startswith(";")]
        return code, [(answer[-1], int(answer[1])) for answer in answers]

    def question(self, name):
        return self.dig(f"{name}.e2e.test")

    def close(self, keep=False):
        """Ends everything that was started. True: nothing is left."""
        if self.serve and self.serve.poll() is None:
            self.kill(self.serve)
        try:
            if self.toolstack.poll() is not None:
                self.start_toolstack()
            for domain in self.json("status")["domains"]:
                self.ask("stop", "--how", "destroy", domain["name"])
            self.kill(self.toolstack, signal.SIGTERM)
        except (Failed, subprocess.TimeoutExpired) as error:
            print(f"  cleaning up: {error}", file=sys.stderr)
            if self.toolstack.poll() is None:
                self.kill(self.toolstack)
            return False
        if not keep:
            shutil.rmtree(self.dir)
        return True


def group_name():
    import grp

    try:
        return grp.getgrgid(GROUP).gr_name
    except KeyError:
        return str(GROUP)


GROUP_NAME = group_name()


def as_user(user, argv):
    if user is None:
        return argv
    ids = [f"--reuid={user}", f"--regid={GROUP}", "--clear-groups"]
    return ["setpriv", *ids, "--", *argv]


def curl(address, seconds=30):
    """What a page holds, or None where there was no answer; and curl's exit code."""
    argv = ["curl", "-sS", "--noproxy", "*", "-m", str(seconds), url(address)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30)
    return (done.stdout if done.returncode == 0 else None), done.returncode


def url(address):
    return f"http://{address[0]}:{address[1]}/"


def connect(address, seconds=30):
    return socket.create_connection(address, timeout=seconds)


def receive(client, count):
    """Exactly so many bytes."""
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        ensure(more, f"the connection ended after {len(data)} of {count} bytes")
        data += more
    return data


def receive_all(client):
    data = b""
    while True:
        more = client.recv(65536)
        if not more:
            return data
        data += more


def get(client):
    """One request on a connection that stays open."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: e2e\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        ensure(more, f"the connection ended in the head of the answer: {data!r}")
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    fields = dict(l.lower().split(b": ", 1) for l in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    return (body + receive(client, length - len(body))).decode()

"""Checks of real guests that are summoned: what wakes them, what clients see, what is recorded."""

import concurrent.futures
import json
import re
import signal
import subprocess
import time

from lab import SERVE, Skipped, connect, curl, ensure, receive, receive_all, until
from dom0 import BOOT_S, BRIDGE, COUNTER, CROWD_S, HTTP, UNIKERNEL, domains, output

ADMIN = 0


def running(lab, name):
    return lab.state(name) == "running"


def asleep(lab, name):
    return lab.state(name) == "absent"


def get_page(front):
    """The page that a held connection gets; it is taken at once."""
    began = time.monotonic()
    with connect(front, BOOT_S) as client:
        took = time.monotonic() - began
        ensure(took < 2.0, f"the connection was taken after {took:.1f} s only")
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = receive_all(client)
    ensure(b" 200 " in page.split(b"\r\n")[0], f"the held client got {page!r}")
    return page.decode()


def boots_unikernel(lab):
    """a question boots our unikernel, a connection is held meanwhile and gets its page"""
    guest, address = lab.unikernel()
    front = lab.serve_guest("www", guest, 'idle = "5m"')
    began = time.monotonic()
    code, answers = lab.question("www")
    ensure((code, answers[0][0]) == ("NOERROR", front[0]), f"dig says {code} {answers}")
    page = get_page(front)
    print(f"     question to page: {time.monotonic() - began:.2f} s")
    ensure("Hello from www." in page and f"address: {address}" in page, f"the page is {page!r}")
    number = lab.domain("www")["id"]
    ensure(("www", number) in domains(), f"xl knows {domains()}, not www ({number})")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")
    page, _ = curl(front)
    ensure(page and "requests: 2" in page, f"a warm client got {page!r}")


def boots_linux(lab):
    """a connection alone boots Linux, is held meanwhile and gets its page"""
    guest, address = lab.linux()
    front = lab.serve_guest("linux", guest, 'idle = "5m"\nstart_on = "connection"')
    ensure(lab.question("linux")[0] == "NOERROR", "its name is not known")
    ensure(asleep(lab, "linux"), "a question woke it")
    began = time.monotonic()
    page = get_page(front)
    print(f"     connection to page: {time.monotonic() - began:.2f} s")
    ensure(address in page, f"the page is {page!r}")
    # It is asked to go, and goes by itself.
    lab.ask("stop", "--how", "shutdown", "linux")
    ensure(asleep(lab, "linux"), f"after its shutdown it is {lab.state('linux')}")


def reads_its_disk(lab):
    """Linux reads a disk that is a file here; its loop device goes with it"""
    guest, address = lab.linux()
    guest += "\n" + lab.disk("what the disk says")
    front = lab.serve_guest("linux", guest, 'idle = "5m"')
    page, code = curl(front, BOOT_S)
    ensure(page and address in page, f"it serves {page!r}, curl {code}")
    page = output("curl", "-sS", f"http://{address}/disk")
    ensure(page == "what the disk says\n", f"its disk says {page!r}")
    lab.ask("stop", "--how", "destroy", "linux")
    lab.ensure_no_traces()


def boots_pvh(lab):
    """Linux as a PVH guest: all its VCPUs, its disk, its word that it is ready; it goes when asked"""
    lab.ready = '{ xenstore = "data/ready" }'
    guest, address = lab.linux("pvh")
    guest += "\nvcpus = 2\n" + lab.disk("what the disk says")
    front = lab.serve_guest("linux", guest, 'idle = "5m"')
    ensure(address in get_page(front), "another's page")
    for path, text in (("disk", "what the disk says\n"), ("kind", "PVH 2\n")):
        page = output("curl", "-sS", f"http://{address}/{path}")
        ensure(page == text, f"/{path} says {page!r}")
    lab.ask("stop", "--how", "shutdown", "linux")
    ensure(asleep(lab, "linux"), f"after its shutdown it is {lab.state('linux')}")
    lab.ensure_no_traces()


def takes_any_xl_cfg(lab):
    """an xl.cfg of an administrator's, as it is: it is ready by its key, serves, and goes when idle"""
    if lab.hypervisor != "xl":
        raise Skipped("only the hypervisor xl takes an xl.cfg")
    lab.ready = '{ xenstore = "data/ready" }'
    address, weight = lab.address(), 512
    config = lab.write("old.cfg", f"""
# What no spec of ours says: a weight, a way to put a list, what is done at a crash.
name = "old-name"
uuid = "00000000-1111-4222-8333-444444444444"
type = "pv"
kernel = '{UNIKERNEL}'
extra = "ip={address}/24 name=old"
memory = 8
cpu_weight = {weight}
on_crash = "preserve"
vif = [
    'mac=00:16:3e:0d:0e:0f,bridge={BRIDGE}',
]
""")
    guest = f'guest = {{ xl = {{ config = "{config}" }} }}\naddress = "{address}"'
    front = lab.serve_guest("old", guest, 'idle = "5s"\nttl = "1s"')
    page = get_page(front)
    ensure("Hello from old." in page and f"address: {address}" in page, f"the page is {page!r}")
    number = lab.domain("old")["id"]
    ensure(domains() == {("old", number)}, f"there are {domains()}")
    said = output("xl", "sched-credit2", "-d", str(number)).split()
    ensure(str(weight) in said, f"its weight is not {weight}: {said}")
    mac = output("xenstore-read", f"/local/domain/{number}/device/vif/0/mac").strip()
    ensure(mac == "00:16:3e:0d:0e:0f", f"its interface is {mac}")
    until("it sleeps when nobody needs it", lambda: asleep(lab, "old"), BOOT_S)
    lab.ensure_no_traces()


def ten_at_once(lab):
    """ten services summoned at once: ten domains, ten pages, one start each; then all sleep"""
    names = [f"www{n}" for n in range(10)]
    spec = f'idle = "15s"\nttl = "1s"\nhold_max = "{CROWD_S:g}s"'
    fronts = {name: lab.serve_guest(name, lab.unikernel()[0], spec) for name in names}
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        questions = [pool.submit(lab.question, name) for name in names]
        pages = [pool.submit(curl, fronts[name], CROWD_S) for name in names]
        codes = [question.result()[0] for question in questions]
    ensure(codes == ["NOERROR"] * 10, f"dig says {codes}")
    for name, page in zip(names, pages):
        text, code = page.result()
        ensure(text and f"Hello from {name}." in text, f"{name} gives {text!r}, curl {code}")
    for name in names:
        ensure(lab.starts(name) == 1, f"{name} was started {lab.starts(name)} times")
    states = lambda: {domain["state"] for domain in lab.json("status")["domains"]}
    until("all of them sleep", lambda: states() == {"absent"}, CROWD_S)
    lab.ensure_no_traces()


def direct_front(lab):
    """front = "direct": the answer waits for the guest's key, and carries its own address"""
    lab.ready = '{ xenstore = "data/ready" }'
    guest, address = lab.unikernel("ready=data/ready")
    lab.add_direct("vm", guest, f'idle = "20s"\nttl = "1s"\nhold_max = "{BOOT_S:g}s"')
    code, answers = lab.dig("any.vm.e2e.test", "A", f"+time={BOOT_S:g}")
    ensure((code, answers[:1]) == ("NOERROR", [(address, 1)]), f"dig says {code} {answers}")
    with connect((address, HTTP), 2) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        ensure(b"Hello from vm." in receive_all(client), "it is not ready when it is named")
    until("it sleeps when nobody needs it", lambda: asleep(lab, "vm"), BOOT_S)


def idle_stop(lab):
    """nobody needs it: it goes, and leaves nothing; somebody does: it stays"""
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "3s"\nttl = "1s"')
    with connect(front, BOOT_S):
        until("it runs", lambda: running(lab, "www"), BOOT_S)
        number = lab.domain("www")["id"]
        since = time.monotonic()
        until("it has outlived its idle time", lambda: time.monotonic() - since > 6)
        ensure(running(lab, "www"), "it was stopped under a connection")
    until("it is stopped", lambda: asleep(lab, "www"), BOOT_S)
    lab.ensure_no_traces()
    ensure(curl(front, BOOT_S)[0], "it does not start again")
    ensure(lab.domain("www")["id"] != number, "the next boot has the number of the last")


def what_is_recorded(lab):
    """the log by branch: who asked for what, with what result, in how long"""
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "5m"')
    ensure(curl(front, BOOT_S)[0], "the page")
    lab.ask("stop", "--how", "destroy", "www")
    fields = [commit["fields"] for commit in lab.log("domain/www")]
    wants = [f for f in reversed(fields) if f.get("method") == "want"]
    phases = [(json.loads(f["arguments"])["wanted"], f["phase"]) for f in wants]
    expected = [(w, phase) for w in ("running", "absent") for phase in ("asked", "done")]
    ensure(phases == expected, f"recorded: {phases}")
    socket = ("--socket", lab.socket)
    argv = (f"{lab.bin_dir}/jitsu", *socket, "log", "domain/www")
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    for uid, what in ((SERVE, "running"), (ADMIN, "absent")):
        done = rf"uid={uid} .*want domain www {what}: done: ok in [0-9.]+(ms|s)\n"
        ensure(re.search(done, text), f"no line of {uid}'s {what} in:\n{text}")
    on_main = [c["id"] for c in lab.log("main")]
    ensure(len(on_main) > len(fields), "main does not hold what its branch does")


def suspend(lab):
    """Linux is saved and resumed, with a live connection: its counter goes on"""
    guest, _ = lab.linux()
    front = lab.serve_guest("count", guest, 'idle = "5m"\nstop = "suspend"', COUNTER)
    with connect(front, BOOT_S) as client:
        ensure(count(client, "a") == "1 a", "the first line is not the first")
        number = lab.domain("count")["id"]
        lab.ask("stop", "--how", "suspend", "count")
        ensure(lab.state("count") == "suspended", f"it is {lab.state('count')}")
        until("its domain is gone", lambda: ("count", number) not in domains())
        lab.ask("start", "count")
        ensure(lab.domain("count")["id"] != number, "it was not gone")
        ensure(count(client, "b") == "2 b", "the counter began anew")
    # And it is woken so when nobody is left who holds it.
    lab.ask("stop", "--how", "suspend", "count")
    with connect(front, BOOT_S) as client:
        ensure(count(client, "c") == "1 c", "a new connection has an old one's counter")
    lab.ask("stop", "--how", "destroy", "count")


def shells(lab):
    """domains that are built in advance: one is taken, another made, and none outlives the daemon"""
    if lab.hypervisor != "xen":
        raise Skipped("only the hypervisor xen builds domains in advance")
    lab.kill(lab.toolstack, signal.SIGTERM)
    table = f'[[shells]]\ncount = 2\nmemory_mib = 8\nvcpus = 1\nbridges = ["{BRIDGE}"]\n'
    lab.write("toolstack.toml", lab.read("toolstack.toml") + table)
    lab.start_toolstack()
    numbers = lambda: {number for _, number in domains()}
    until("two are there", lambda: len(numbers()) == 2)
    waiting = numbers()
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "5m"')
    page, code = curl(front, BOOT_S)
    ensure(page and "Hello from www." in page, f"it serves {page!r}, curl {code}")
    ensure(lab.domain("www")["id"] in waiting, "it is none of those that waited")
    until("the one that was taken is replaced", lambda: len(numbers()) == 3)
    # What a killed toolstack left waiting is not the next one's.
    lab.kill(lab.toolstack)
    lab.start_toolstack()
    until("two are there again", lambda: len(numbers()) == 3 and not numbers() & waiting - {
        lab.domain("www")["id"]
    })
    ensure(curl(front)[0], "it serves no more")


def is_known_before_it_boots(lab):
    """dom0 knows the MAC of a guest that says nothing: who connects while it boots need not ask"""
    if lab.hypervisor != "xen":
        raise Skipped("libxl's script plugs the interface in, and knows no address")
    guest, address = lab.unikernel("fault=hang")
    lab.serve_guest("mute", guest)
    lab.ask("start", "mute")
    entry = output("ip", "neigh", "show", address, "dev", BRIDGE)
    ensure(" lladdr " in entry, f"the kernel knows {entry!r} of {address}")
    lab.ask("stop", "--how", "destroy", "mute")
    lab.ensure_no_traces()


def count(client, word):
    client.sendall(word.encode() + b"\n")
    line = b""
    while not line.endswith(b"\n"):
        line += receive(client, 1)
    return line.decode().strip()


CHECKS = [
    boots_unikernel, boots_linux, reads_its_disk, boots_pvh, takes_any_xl_cfg, ten_at_once,
    direct_front, idle_stop, what_is_recorded, suspend, shells, is_known_before_it_boots,
]

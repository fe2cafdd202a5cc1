"""Checks of what breaks by itself or is broken: guests, domains, the toolstack."""

import os
import subprocess
import time

from lab import curl, connect, ensure, receive_all, until
from dom0 import BOOT_S, domains, free_mib, output, xl_destroy

KILLS = 20


def gone(lab, name):
    until(f"{name} is gone", lambda: lab.state(name) in ("absent", "failed"), BOOT_S)


def serves(front, name):
    page, code = curl(front, BOOT_S)
    ensure(page and f"Hello from {name}." in page, f"it serves {page!r}, curl {code}")


def refused(front, seconds=BOOT_S):
    """How long a client was held before its connection was reset."""
    began = time.monotonic()
    try:
        with connect(front, seconds) as client:
            data = receive_all(client)
    except ConnectionResetError:
        return time.monotonic() - began
    ensure(False, f"the client is not reset but gets {data!r}")


def destroyed_by_an_admin(lab):
    """xl destroy behind our back: it is noticed, and the next client gets a new domain"""
    front = lab.serve_guest("www", lab.unikernel()[0])
    serves(front, "www")
    number = lab.domain("www")["id"]
    xl_destroy(number)
    gone(lab, "www")
    lab.ensure_no_traces()
    serves(front, "www")
    ensure(lab.domain("www")["id"] != number, "the old domain serves")


def guest_crashes(lab):
    """a guest that crashes while it serves: it is told, nothing is left, the next client is served"""
    ends_by_itself(lab, "/crash", "crashed")


def guest_powers_off(lab):
    """a guest that shuts itself down: it sleeps until the next client"""
    ends_by_itself(lab, "/poweroff", "shut itself down")


def ends_by_itself(lab, asked_by, told):
    front = lab.serve_guest("www", lab.unikernel()[0])
    serves(front, "www")
    number = lab.domain("www")["id"]
    page_of(front, asked_by)
    gone(lab, "www")
    ensure(told in (lab.domain("www")["error"] or ""), f"it says {lab.domain('www')}")
    lab.ensure_no_traces()
    serves(front, "www")
    ensure(lab.domain("www")["id"] != number, "the domain that ended serves")


def guest_reboots(lab):
    """a guest that asks for a reboot gets a new domain, and serves"""
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "5m"')
    serves(front, "www")
    number = lab.domain("www")["id"]
    page_of(front, "/reboot")
    is_new = lambda: (d := lab.domain("www"))["state"] == "running" and d["id"] != number
    until("it runs again", is_new, BOOT_S)
    serves(front, "www")


def page_of(front, path):
    subprocess.run(
        ["curl", "-sS", "-m", "30", f"http://{front[0]}:{front[1]}{path}"],
        capture_output=True, timeout=60,
    )


def guest_crashes_booting(lab):
    """a guest that crashes at boot: its client is reset at once, DNS says SERVFAIL, nothing is left"""
    lab.retry_late()
    front = lab.serve_guest("sick", lab.unikernel("fault=crash")[0])
    took = refused(front)
    ensure(took < BOOT_S / 2, f"its client is reset after {took:.1f} s only")
    servfail(lab)
    gone(lab, "sick")
    lab.ensure_no_traces()


def guest_hangs(lab):
    """a guest that never boots: its client is reset at hold_max, DNS says SERVFAIL, nothing is left"""
    lab.retry_late()
    front = lab.serve_guest("sick", lab.unikernel("fault=hang")[0], 'hold_max = "15s"')
    took = refused(front)
    ensure(14.5 <= took <= 25, f"its client is reset after {took:.1f} s, not 15 s")
    servfail(lab)
    gone(lab, "sick")
    lab.ensure_no_traces()


def servfail(lab):
    until("it is SERVFAIL while it failed", lambda: lab.question("sick")[0] == "SERVFAIL")
    ensure(len(domains()) <= 1, f"there are {domains()}")


def guest_ignores_shutdown(lab):
    """a guest that ignores its shutdown: destroyed after its grace; one that does not goes at once"""
    for name, words, grace, least in (("deaf", "fault=silent", "5s", 5), ("polite", "", "2m", 0)):
        guest = lab.unikernel(words)[0] + f'\nshutdown_grace = "{grace}"'
        serves(lab.serve_guest(name, guest), name)
        began = time.monotonic()
        lab.ask("stop", "--how", "shutdown", name)
        took = time.monotonic() - began
        ensure(least <= took <= 30, f"{name} went after {took:.1f} s")
        ensure(lab.state(name) == "absent", f"{name} is {lab.state(name)}")


def guest_is_told_anything(lab):
    """a guest that is asked for what there is not, at length and in no text: it lives, and can go"""
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "5m"')
    serves(front, "www")
    number = lab.domain("www")["id"]
    # The XenStore's daemons take no value longer than 2 KiB.
    for value in ("n" * 256, "n" * 257, "n" * 2000, os.fsdecode(b"\xff\xfe")):
        output("xenstore-write", f"/local/domain/{number}/control/shutdown", value)
        serves(front, "www")
    ensure(lab.domain("www")["id"] == number, "it is another domain that serves")
    lab.ask("stop", "--how", "shutdown", "www")
    ensure(lab.state("www") == "absent", f"after its shutdown it is {lab.state('www')}")


def toolstack_is_killed(lab):
    """SIGKILL of the toolstack: the domain lives, is adopted, and can be stopped"""
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "5m"')
    serves(front, "www")
    number = lab.domain("www")["id"]
    lab.kill(lab.toolstack)
    serves(front, "www")
    lab.start_toolstack()
    domain = until("it is adopted", lambda: (d := lab.domain("www"))["state"] == "running" and d)
    ensure(domain["id"] == number, f"domain {number} became {domain['id']}")
    serves(front, "www")
    lab.ask("stop", "--how", "destroy", "www")
    lab.ensure_no_traces()


def killed_while_creating(lab):
    """SIGKILL of the toolstack anywhere in a create, 20 times: it adopts or cleans, nothing leaks"""
    front = lab.serve_guest("www", lab.unikernel()[0], 'idle = "5m"')
    began = time.monotonic()
    lab.ask("start", "www")
    took = time.monotonic() - began
    lab.ask("stop", "--how", "destroy", "www")
    lab.ensure_no_traces()
    free = free_mib()
    adopted = 0
    argv = [os.path.join(lab.bin_dir, "jitsu"), "--socket", lab.socket, "start", "www"]
    for nth in range(KILLS):
        # What is tried is that it may happen at any moment of a create.
        start = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.2 * took * nth / KILLS)
        lab.kill(lab.toolstack)
        start.wait(60)
        lab.start_toolstack()
        settled = lambda: lab.state("www") in ("absent", "running")
        until(f"kill {nth}: it is one thing or the other", settled, BOOT_S)
        if lab.state("www") == "running":
            adopted += 1
            serves(front, "www")
        ensure(len(domains()) <= 1, f"kill {nth}: there are {domains()}")
        lab.ask("stop", "--how", "destroy", "www")
        lab.ensure_no_traces()
    print(f"     a create takes {took:.2f} s; {adopted} of {KILLS} ran afterwards")
    lost = free - free_mib()
    ensure(lost <= 2, f"{lost} MiB of Xen's memory are lost")


CHECKS = [
    destroyed_by_an_admin, guest_crashes, guest_powers_off, guest_reboots, guest_crashes_booting,
    guest_hangs, guest_ignores_shutdown, guest_is_told_anything, toolstack_is_killed,
    killed_while_creating,
]

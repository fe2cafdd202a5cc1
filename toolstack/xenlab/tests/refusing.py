"""Checks of what cannot be done: each says why, and leaves nothing half-made."""

import os
import subprocess

from lab import SERVE, as_user, ensure, until
from dom0 import LAB, UNIKERNEL, domains, xl_create, xl_destroy


def fails(lab, name, *words):
    """Starting it fails, says these words, and leaves nothing."""
    done = lab.ask("start", name, check=False)
    ensure(done.returncode != 0, f"{name} was started")
    for word in words:
        ensure(word in done.stderr, f"{word!r} is not in {done.stderr!r}")
    print(f"     {done.stderr.strip().splitlines()[0]}")
    lab.ask("stop", "--how", "destroy", name)
    until("it is given up", lambda: lab.state(name) in ("absent", "failed"))
    lab.ensure_no_traces()


def bad_image(lab):
    """an image that is none, is cut off, is not there: each is named, and why"""
    text = lab.write("text", "This is no kernel.\n" * 100)
    with open(UNIKERNEL, "rb") as whole:
        half = whole.read()[: os.path.getsize(UNIKERNEL) // 2]
    cut = os.path.join(lab.dir, "cut")
    with open(cut, "wb") as file:
        file.write(half)
    missing = os.path.join(lab.dir, "missing")
    for name, image, words in (
        ("text", text, ()), ("cut", cut, ()), ("missing", missing, ("No such file",)),
    ):
        lab.serve_guest(name, lab.unikernel(image=image)[0])
        fails(lab, name, image, *words)


def no_bridge(lab):
    """a bridge that dom0 does not have"""
    lab.serve_guest("www", lab.unikernel(bridge="nosuch")[0])
    fails(lab, "www", "bridge", "nosuch")


def no_memory(lab):
    """more memory than there is"""
    lab.serve_guest("www", lab.unikernel(memory_mib=200_000)[0])
    fails(lab, "www", "memory", "200000 MiB")


def name_taken(lab):
    """a domain of that name that is an administrator's: it is left alone"""
    number = xl_create("www", lab.address())
    try:
        lab.serve_guest("www", lab.unikernel()[0])
        done = lab.ask("start", "www", check=False)
        ensure(done.returncode != 0, "it was started")
        ensure("www exists already" in done.stderr, f"it says {done.stderr!r}")
        lab.ask("stop", "--how", "destroy", "www")
        ensure(("www", number) in domains(), "the administrator's domain is gone")
    finally:
        xl_destroy(number)
    lab.ensure_no_traces()
    lab.ask("start", "www")


def not_permitted(lab):
    """a toolstack that may not use Xen: it does not come up, and says why"""
    said = does_not_serve(lab, as_user(SERVE, [f"{LAB}/toolstack"]))
    ensure("ermission denied" in said or "not permitted" in said, f"it says {said!r}")


def no_xen(lab):
    """no Xen, no XenStore: it does not come up, and says what is not there"""
    hide = "mount -t tmpfs none {};".format
    # Both ways to it: the daemon's socket, and the kernel's device.
    no_store = hide("/run/xenstored") + "mount --bind /dev/null /dev/xen/xenbus;"
    for hidden, word in ((hide("/dev/xen") + hide("/proc/xen"), "dom0"), (no_store, "XenStore")):
        argv = ["unshare", "--mount", "--", "sh", "-c", f'{hidden} exec "$0" "$@"']
        said = does_not_serve(lab, [*argv, f"{LAB}/toolstack"])
        ensure(word in said, f"{word} is not in {said!r}")


def does_not_serve(lab, argv):
    """What a second toolstack says, that cannot come up."""
    folder = os.path.join(lab.dir, "second")
    os.makedirs(folder, exist_ok=True)
    os.chown(folder, SERVE, -1)
    config = lab.write(
        "second.toml",
        f'hypervisor = "{lab.hypervisor}"\nsocket = "{folder}/socket"\n'
        f'state_dir = "{folder}/state"\nruntime_dir = "{folder}/run"\n',
    )
    done = subprocess.run(
        [*argv, "serve", "--config", config], capture_output=True, text=True, timeout=60
    )
    ensure(done.returncode not in (0, None), "it has ended well")
    said = done.stderr + done.stdout
    print(f"     {said.strip().splitlines()[-1]}")
    return said


CHECKS = [bad_image, no_bridge, no_memory, name_taken, not_permitted, no_xen]

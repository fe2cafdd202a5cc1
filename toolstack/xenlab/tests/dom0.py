"""Both daemons in a dom0 of Xen, the guests they run there, and what may be left of them.

Owns what Xen, its XenStore and dom0's kernel are asked. It must not know what is checked.
"""

import os
import re
import subprocess
import tempfile

from lab import Lab, ensure, until

LAB = "/lab"
UNIKERNEL = f"{LAB}/jitsu-unikernel"
LINUX, LINUX_INITRD = f"{LAB}/linux", f"{LAB}/linux.initrd"
BRIDGE = "xenbr0"
# Ports of the guests: the web server of both, the counter of Linux.
HTTP, COUNTER = 80, 7
# How long a guest may take to boot on an emulated machine with other work.
BOOT_S = 120.0
# And how long ten of them.
CROWD_S = 500.0

# What is over when its domain is: the commands that were run for it.
COMMANDS = ("xl", "xenconsole", "vif-bridge", "block")

PATIENT = 'want_timeout = "10m"'


class Dom0(Lab):
    """One toolstack and one `jitsu serve` in dom0, with what a domain leaves watched."""

    hosts = 0
    ready = f"{{ port = {HTTP} }}"

    def __init__(self, bin_dir, hypervisor, shells=""):
        self.hypervisor = hypervisor
        self.before = traces()
        settings = f'hypervisor = "{hypervisor}"'
        super().__init__(bin_dir, settings=settings, limits=f"{PATIENT}\n{shells}")

    def address(self):
        """An address on the bridge that no guest has had."""
        Dom0.hosts += 1
        return f"10.77.0.{10 + Dom0.hosts}"

    def unikernel(self, words="", image=UNIKERNEL, memory_mib=8, bridge=BRIDGE):
        """The `domain` table of a unikernel of ours, and its address."""
        address = self.address()
        cmdline = f"ip={address}/24 port={HTTP} name={{name}} {words}"
        return domain(address, memory_mib, bridge, image=image, cmdline=cmdline), address

    def linux(self, mode="pv"):
        """The same of a Linux guest."""
        address = self.address()
        cmdline = f"console=hvc0 quiet guestip={address}"
        kernel = dict(image=LINUX, ramdisk=LINUX_INITRD, cmdline=cmdline, mode=mode)
        return domain(address, 128, BRIDGE, **kernel), address

    def disk(self, line):
        """The `disks` of a guest that has one, which begins with this line: a file here."""
        path = self.write("disk", f"{line}\n".ljust(1 << 20, "\0"))
        return f'disks = [{{ source = "{path}", device = "xvda", read_only = true }}]'

    def serve_guest(self, name, guest, settings="", port=HTTP):
        """A service with a proxy, patient enough for this machine."""
        patience = "" if "hold_max" in settings else f'hold_max = "{BOOT_S:g}s"\n'
        return self.add(name, guest, patience + settings, port)

    def retry_late(self):
        """From now on, a service that failed is left alone for longer than a question takes."""
        self.kill(self.serve)
        text = self.read("jitsu.toml")
        for key in ("backoff_min", "backoff_max"):
            text = re.sub(rf'{key} = ".*"', f'{key} = "1m"', text)
        self.write("jitsu.toml", text)
        self.start_serve()

    def ensure_no_traces(self, seconds=30.0):
        """All that was there because of our domains is gone."""
        left = []

        def is_clean():
            left[:] = sorted(traces() - self.before)
            return not left

        try:
            until("nothing is left", is_clean, seconds)
        finally:
            ensure(not left, f"left: {', '.join(left[:12])}" + (", …" if len(left) > 12 else ""))


def domain(address, memory_mib, bridge, **kernel):
    kernel = ", ".join(f'{key} = "{value}"' for key, value in kernel.items())
    return (
        f"guest = {{ kernel = {{ {kernel} }} }}\nmemory_mib = {memory_mib}\n"
        f'address = "{address}"\nvifs = [{{ bridge = "{bridge}" }}]'
    )


def output(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    ensure(done.returncode == 0, f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return done.stdout


def domains():
    """The name and number of every domain but dom0: also of those that Xen cannot end yet, whose
    memory is still mapped somewhere."""
    rows = [row.split() for row in output("xl", "list").splitlines()[1:]]
    return {(row[0], int(row[1])) for row in rows if row[1] != "0"}


def traces():
    """Everything that a domain leaves traces in."""
    found = {f"domain {name} ({number})" for name, number in domains()}
    paths = {line.split(" = ")[0] for line in output("xenstore-ls", "-f").splitlines()}
    found |= {f"XenStore {path}" for path in paths}
    found |= {f"interface {name}" for name in os.listdir("/sys/class/net")}
    found |= {f"backend {name}" for name in os.listdir("/sys/bus/xen-backend/devices")}
    found |= {f"loop device {line}" for line in output("losetup", "-ln").splitlines()}
    found |= {f"process {comm} {pid}" for pid, comm in processes() if comm in COMMANDS}
    return found


def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                yield int(pid), comm.read().strip()
        except OSError:
            continue


def free_mib():
    """Xen's free memory, in MiB."""
    facts = dict(line.split(":", 1) for line in output("xl", "info").splitlines() if ":" in line)
    return int(next(value for key, value in facts.items() if key.strip() == "free_memory"))


def xl_create(name, address):
    """A domain of an administrator: one that is none of ours. Gives its number."""
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(
            f'name = "{name}"\ntype = "pv"\nkernel = "{UNIKERNEL}"\nmemory = 8\n'
            f'extra = "ip={address}/24"\nvif = ["bridge={BRIDGE}"]\n'
        )
        config.flush()
        # -e: no xl stays behind it.
        output("xl", "create", "-e", "-q", config.name)
    return next(number for found, number in domains() if found == name)


def xl_destroy(number):
    output("xl", "destroy", str(number))


def warm_up():
    """Makes what the first domain of a boot leaves for good: the XenStore's common folders."""
    xl_destroy(xl_create("warm-up", "10.77.0.9"))
    gone = lambda: not domains() and not os.listdir("/sys/bus/xen-backend/devices")
    until("the first domain is gone", gone, 60)

"""Checks of starting and stopping: what wakes a service, what its clients see, what ends it."""

import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import time

from lab import (
    DNS_PORT, Skipped, command_guest, connect, curl, during, ensure, get, hello_guest, is_alive,
    receive, receive_all, until, url,
)


def asleep(lab, name):
    return lab.state(name) == "absent"


def cold_start_by_dns(lab):
    """a question summons the service, and its page comes"""
    front = lab.add("www", hello_guest(), 'idle = "20s"\nttl = "7s"')
    ensure(asleep(lab, "www"), "it runs before anybody asked")
    code, answers = lab.question("www")
    ensure((code, answers) == ("NOERROR", [(front[0], 7)]), f"dig says {code} {answers}")
    until("the question started it", lambda: lab.state("www") == "running")
    page, _ = curl(front)
    ensure(page and page.startswith("Hello from www."), f"curl got {page!r}")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")
    ensure(lab.dig("WWW.E2E.test", "A", "+tcp")[0] == "NOERROR", "dig by TCP, in capitals")
    ensure(lab.dig("www.e2e.test", "AAAA") == ("NOERROR", []), "AAAA is not NODATA")
    ensure(lab.dig("other.e2e.test")[0] == "NXDOMAIN", "a name that does not exist")
    ensure(lab.dig("www.example.org")[0] == "REFUSED", "a name of others")


def cold_start_by_connection(lab):
    """a connection alone summons the service, and is held through its boot"""
    front = lab.add("www", hello_guest("300ms"), 'start_on = "connection"')
    ensure(lab.question("www")[0] == "NOERROR", "a question is not answered")
    ensure(asleep(lab, "www"), "a question woke it")
    began = time.monotonic()
    page, code = curl(front)
    took = time.monotonic() - began
    ensure(page and "requests: 1\n" in page, f"curl got {page!r}, exit code {code}")
    ensure(took >= 0.3, f"the page came after {took:.3f} s, before the guest was ready")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")


def crowd_in_one_boot(lab):
    """200 clients during one boot: one domain, 200 right answers, none refused"""
    front = lab.add("www", hello_guest("500ms"))

    def client(_):
        with connect(front) as one:
            return get(one)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        pages = list(pool.map(client, range(200)))
    right = [page for page in pages if page.startswith("Hello from www.")]
    ensure(len(right) == 200, f"{len(right)} of 200 answers are right")
    counts = {re.search(r"requests: (\d+)", page).group(1) for page in pages}
    ensure(len(counts) == 200, f"{len(counts)} different requests reached the guest")
    facts = until("all are counted", lambda: (f := lab.facts("www"))["connections"] >= 200 and f)
    ensure((facts["boots"], facts["refused"]) == (1, 0), f"counted: {facts}")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")


def crowd_of_curls(lab):
    """curl, 200 transfers at once, during one boot: all succeed"""
    front = lab.add("www", hello_guest("500ms"))
    config = lab.write("urls", f'url = "{url(front)}"\noutput = "/dev/null"\n' * 200)
    argv = ["curl", "-sS", "--noproxy", "*", "--no-keepalive", "-Z", "--parallel-max", "200"]
    argv += ["--parallel-immediate", "-w", "%{http_code}\\n", "-m", "60", "-K", config]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90)
    codes = done.stdout.split()
    ensure(codes == ["200"] * 200, f"{codes.count('200')} of {len(codes)}: {done.stderr[:200]}")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")


def direct_front(lab):
    """front = "direct": the answer waits for the guest, and carries its own address"""
    lab.add_direct("vm", hello_guest("300ms"), 'idle = "1s"')
    began = time.monotonic()
    code, answers = lab.dig("any.vm.e2e.test")
    took = time.monotonic() - began
    domain = lab.domain("vm")
    addresses = [address for address, _ in answers]
    ensure((code, addresses) == ("NOERROR", [domain["address"]]), f"dig says {code} {answers}")
    ensure(took >= 0.3, f"answered after {took:.3f} s, before the guest was ready")
    ensure(answers[0][1] <= 1, f"the TTL, {answers[0][1]} s, is longer than it stays awake")
    with connect((domain["address"], 8080)) as client:
        get(client)
        during(3, "it was stopped under a connection", lambda: lab.state("vm") == "running")
    until("it sleeps when nobody needs it", lambda: asleep(lab, "vm"))


def idle_stop(lab):
    """nobody needs it: it is stopped; somebody does: it never is"""
    front = lab.add("www", hello_guest(), 'idle = "700ms"\nttl = "1s"')
    with connect(front) as client:
        get(client)
        pid = lab.domain("www")["id"]
        during(3, "it was stopped under a silent connection", lambda: is_alive(pid))
        ensure("requests: 2" in get(client), "the connection does not reach the same guest")
    until("it is stopped", lambda: asleep(lab, "www"))
    ensure(not is_alive(pid), f"its process {pid} is still there")
    page, _ = curl(front)
    ensure(page and "requests: 1" in page, f"the next boot gives {page!r}")


def half_close(lab):
    """each side may end its sending and go on receiving"""
    front = lab.add("count", command_guest("count"))
    with connect(front) as client:
        client.sendall(b"x" * 300_000)
        client.shutdown(socket.SHUT_WR)
        counted = receive_all(client)
    ensure(counted == b"300000", f"the guest counted {counted!r}")

    front = lab.add("last", command_guest("last"))
    with connect(front) as client:
        ensure(receive_all(client) == b"0", "the guest says something else first")
        # The guest has ended its side; ours still carries.
        client.sendall(b"y" * 200_000)
        client.shutdown(socket.SHUT_WR)

    def last():
        with connect(front) as client:
            return receive_all(client)

    until("all bytes came after the guest had ended its side", lambda: last() == b"200000")


def bulk_echo(lab):
    """32 MiB there and back come back as they were"""
    front = lab.add("echo", command_guest("echo"))
    sent = os.urandom(1 << 20) * 32
    with connect(front) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, sent)
        back = receive(client, len(sent))
        sending.result()
    ensure(back == sent, "other bytes came back")


def overflow(lab):
    """clients beyond a service's bound are refused at once, and counted"""
    front = lab.add("www", hello_guest("700ms"), "clients_max = 3")
    clients, refused = [], 0
    for _ in range(6):
        try:
            clients.append(connect(front))
        except ConnectionResetError:
            # So soon that it is still connecting.
            refused += 1
    for client in clients:
        try:
            get(client)
        except ConnectionResetError:
            refused += 1
    ensure(refused == 3, f"{refused} of 6 were refused")
    for client in clients:
        client.close()
    facts = until("they are counted", lambda: (f := lab.facts("www"))["refused"] and f)
    ensure(facts["refused"] == 3, f"counted: {facts}")


def warm_dns(lab):
    """dnsperf for two seconds on a warm name: nothing lost, nothing but NOERROR"""
    lab.add("www", hello_guest())
    ensure(lab.question("www")[0] == "NOERROR", "the first question")
    queries = lab.write("queries", "www.e2e.test A\n")
    argv = ["dnsperf", "-s", lab.front, "-p", str(DNS_PORT), "-d", queries, "-l", "2"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        raise Skipped("dnsperf is not installed")
    numbers = dict(re.findall(r"^\s*(Queries [a-z]+|Response codes): +(.*)$", done.stdout, re.M))
    ensure(numbers.get("Queries lost", "").startswith("0 "), f"lost: {numbers}")
    codes = re.findall(r"([A-Z]+) \d+", numbers.get("Response codes", ""))
    ensure(codes == ["NOERROR"], f"answers: {numbers}")
    ensure(lab.starts("www") == 1, f"it was started {lab.starts('www')} times")


def calls(lab, name, count=2):
    """What was recorded of wanting a domain to be something, once there is so much of it."""

    def recorded():
        commits = [commit["fields"] for commit in reversed(lab.log(f"domain/{name}"))]
        wants = [fields for fields in commits if fields.get("method") == "want"]
        return wants if len(wants) >= count else None

    return until(f"{count} commits of {name}", recorded)


def history_by_branch(lab):
    """asked and done are commits; a staged start takes effect when it is merged, and is undone"""
    lab.add("www", hello_guest())
    lab.ask("start", "www")
    asked, done = calls(lab, "www")
    ensure((asked["phase"], done["phase"]) == ("asked", "done"), f"{asked}, then {done}")
    ensure(done["result"] == "ok" and "duration_us" in done, f"the end: {done}")
    author = lab.log("domain/www")[0]["author"]
    ensure(f"uid={os.getuid()}" in author, f"by {author}")
    lab.ask("stop", "www")
    calls(lab, "www", 4)

    lab.ask("branch", "create", "plan")
    lab.ask("start", "www", "--branch", "plan")
    ensure(asleep(lab, "www"), "a staged start has started it")
    changes = lab.json("diff", "main", "plan")
    ensure([c["path"].strip("/") for c in changes] == ["domains/www/wanted"], f"diff: {changes}")
    merged = lab.json("merge", "plan")
    until("the merge has started it", lambda: lab.state("www") == "running")
    lab.ask("revert", merged["head"]["id"])
    until("the revert has stopped it", lambda: asleep(lab, "www"))


def stores_meet(lab):
    """a plan is fetched, changed with git, pushed, and starts a domain once it is merged"""
    lab.add("www", hello_guest())
    lab.ask("branch", "create", "plan")
    copy, bare, edit = (os.path.join(lab.dir, name) for name in ("copy", "bare.git", "edit"))
    daemon = f"toolstack:{lab.socket}"
    said = lab.store("pull", copy, daemon)
    ensure("plan is now at " in said and "main is now at " in said, f"pull: {said}")
    lab.store("export-git", copy, bare)
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@e2e.test", "-C", edit]
    subprocess.run(["git", "clone", "-q", "-b", "plan", bare, edit], check=True)
    with open(os.path.join(edit, "domains/www/wanted"), "w") as wanted:
        wanted.write("running")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "start www"], check=True)
    subprocess.run([*git, "push", "-q"], check=True)
    said = lab.store("import-git", copy, bare)
    ensure("plan is now at " in said, f"import-git: {said}")
    ensure(lab.store("push", copy, daemon, "plan") == "plan was moved\n", "plan was not pushed")
    ensure(asleep(lab, "www"), "a pushed start has started it")
    log = lab.json("log", "plan")
    ensure((log[0]["author"], log[0]["message"]) == ("Ann <ann@e2e.test>", "start www"), f"{log}")
    refused = lab.store("push", copy, daemon, "main", check=False)
    ensure("push to another branch" in refused, f"a push to main: {refused}")
    merged = lab.json("merge", "plan")["head"]
    until("the merge has started it", lambda: lab.state("www") == "running")
    pushes = [c["fields"] for c in lab.log("toolstack") if c["fields"].get("method") == "push"]
    ensure(json.loads(pushes[0]["arguments"])["head"] == log[0]["id"], f"recorded: {pushes}")

    lab.store("pull", copy, daemon, "main")
    proof = os.path.join(lab.dir, "proof")
    lab.store("prove", copy, f"domains/www/wanted@{merged['id']}", proof)
    shutil.rmtree(copy)
    said = lab.store("verify", proof, merged["id"])
    ensure(said == "/domains/www/wanted was: running\n", f"verify: {said}")


CHECKS = [
    cold_start_by_dns, cold_start_by_connection, crowd_in_one_boot, crowd_of_curls, direct_front,
    idle_stop, half_close, bulk_echo, overflow, warm_dns, history_by_branch,
    stores_meet,
]

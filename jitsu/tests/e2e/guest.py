"""Guests that behave as a test needs it: guest.py ADDRESS MODE [WORD…]. They listen on port 8080.

echo            sends back what it is sent, as it comes
count           reads to the end, then sends how many bytes that were, and ends
last            ends its side first, with how many bytes the last connection had that had some
stuck           accepts, and never reads
unless FILE …   behaves as the words after it say once FILE exists; before that, as in `before`:
before=never    it runs and never listens
before=dies     it ends soon, with an error
"""

import os
import socket
import sys
import threading
import time


def listen(address):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, 8080))
    listener.listen(512)
    return listener


def count(client):
    total = 0
    while data := client.recv(65536):
        total += len(data)
    return total


def echo(client):
    while data := client.recv(65536):
        client.sendall(data)


def counted(client):
    client.sendall(b"%d" % count(client))


class Last:
    total = 0

    def __call__(self, client):
        client.sendall(b"%d" % Last.total)
        client.shutdown(socket.SHUT_WR)
        Last.total = count(client) or Last.total


def stuck(_client):
    time.sleep(3600)


MODES = {"echo": echo, "count": counted, "last": Last(), "stuck": stuck}


def serve(client, mode):
    with client:
        try:
            mode(client)
        except OSError as error:
            print(f"a client: {error}", flush=True)


def main(address, mode, *words):
    if mode == "unless":
        file, before, *rest = words
        if os.path.exists(file):
            return main(address, *rest)
        if before == "before=dies":
            time.sleep(0.1)
            sys.exit(3)
        time.sleep(3600)
    listener = listen(address)
    print(f"{mode} listens on {address}", flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, MODES[mode]), daemon=True).start()


main(*sys.argv[1:])

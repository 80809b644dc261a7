#!/usr/bin/env python3
"""A Vitalwire device in Python, written from PROTOCOL.md (§1 and §4) alone, to start your own from.

It needs OpenSSL 3 and cbor2 (`apt-get install openssl python3-cbor2`). On the server:

    vitalwire device add bed_7
    vitalwire device psk bed_7 > bed_7.key      # its lines are `identity: …` and `psk: …`; keep it secret

    python3 vitalwire_client.py 127.0.0.1:9998 bed_7.key --outbox bed_7.outbox --batches 10

The values are made up. What is not acknowledged stays in the outbox file, so it may be killed and started again.
"""

import argparse
import base64
import io
import json
import math
import os
import pathlib
import select
import subprocess
import time

import cbor2

HELLO, BATCH, EVENT, WELCOME, ACK, CONFIGURE, REFUSED = 1, 2, 3, 16, 17, 18, 19  # §4.1
BATCH_REFUSED = 6  # an event code
REFUSALS_MAX = 3  # §4.2, point 10
TEMPERATURE, PULSE = 0, 2  # channels of the profile `pico`
SINT16_LE = 77  # RFC 8746
PATIENCE_S = 20


class ConnectionLost(Exception):
    pass


class Link:
    """One connection: `openssl s_client` shakes hands and encrypts; here are messages."""

    def __init__(self, address, identity, psk):
        # The PSK goes through a pipe, as a session of TLS 1.3 in OpenSSL's format: `-psk` would show it in the list
        # of processes.
        key, writer = os.pipe()
        os.write(writer, session(psk))
        os.close(writer)
        command = ["openssl", "s_client", "-connect", address, "-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]
        command += ["-psk_identity", identity, "-psk_session", f"/dev/fd/{key}"]
        # Only our bytes on standard input and output, and none of them a command; the end of our bytes is the end of
        # the connection. What OpenSSL has to say comes on standard error.
        command += ["-brief", "-nocommands"]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        self.openssl = subprocess.Popen(command, **pipes, pass_fds=[key], bufsize=0)
        os.close(key)
        self.inbox = b""
        # Hello tells the clock after the handshake (§4.2, point 7), so the handshake's end must be known.
        complaint = b""
        while (line := self.openssl.stderr.readline()) != b"CONNECTION ESTABLISHED\n":
            complaint += line
            if not line:
                self.cut()
                raise ConnectionLost(complaint.decode().strip())

    def send(self, message):
        try:
            self.openssl.stdin.write(message)
        except BrokenPipeError as error:
            raise ConnectionLost("openssl ended") from error

    def receive(self, seconds):
        """The messages that are there or come within `seconds`, as pairs of type and fields."""
        if select.select([self.openssl.stdout], [], [], max(seconds, 0))[0]:
            received = os.read(self.openssl.stdout.fileno(), 4096)
            if not received:
                raise ConnectionLost("the server closed the connection")
            self.inbox += received
        messages = []
        while (message := self.take()) is not None:
            messages.append(message)
        return messages

    def take(self):
        # Messages tell their own ends. They are so short (§4.3: 512 bytes) that trying costs nothing.
        for length in range(1, len(self.inbox) + 1):
            try:
                message = cbor2.load(io.BytesIO(self.inbox[:length]))
            except cbor2.CBORDecodeEOF:
                continue
            self.inbox = self.inbox[length:]
            return message
        return None

    def close(self):
        self.openssl.stdin.close()
        self.openssl.wait(PATIENCE_S)

    def cut(self):
        """Ends as a lost radio link does: without a goodbye, whatever is on its way."""
        self.openssl.kill()
        self.openssl.wait()


def session(psk):
    """An SSL_SESSION of OpenSSL (version 1, TLS 1.3, TLS_AES_128_GCM_SHA256, no id, the key), DER within PEM."""
    der = lambda tag, body: bytes([tag, len(body)]) + body
    fields = der(2, b"\x01") + der(2, b"\x03\x04") + der(4, b"\x13\x01") + der(4, b"") + der(4, psk)
    name = b"SSL SESSION PARAMETERS-----\n"
    return b"-----BEGIN " + name + base64.encodebytes(der(0x30, fields)) + b"-----END " + name


class Outbox:
    """Batches that were not acknowledged, of this boot and of earlier ones, in a file (§4.2, points 2 and 5)."""

    def __init__(self, path, boot):
        self.path, self.boot = path, boot
        self.boots = json.loads(path.read_text()) if path.exists() else {}
        self.boots.setdefault(boot, {"next": 1, "time_ms": 0, "batches": {}})

    def put(self, time_ms, channels):
        box = self.boots[self.boot]
        sequence, box["next"], box["time_ms"] = box["next"], box["next"] + 1, now_ms()
        message = cbor2.dumps([BATCH, {0: sequence, 1: time_ms, 2: channels}])
        box["batches"][str(sequence)] = message.hex()
        self.save()
        return message

    def held(self, boot):
        """Sequences and messages, in order."""
        return [(int(sequence), bytes.fromhex(text)) for sequence, text in self.boots[boot]["batches"].items()]

    def give_up(self, boot, sequence):
        del self.boots[boot]["batches"][str(sequence)]
        self.save()

    def acknowledged(self, boot, sequence):
        box = self.boots[boot]
        box["batches"] = {number: text for number, text in box["batches"].items() if int(number) > sequence}
        self.save()

    def save(self):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.boots))
        fresh.replace(self.path)


def now_ms():
    """Milliseconds since this computer started: like its boot id, the same for every process of one boot."""
    return time.monotonic_ns() // 1_000_000


class Device:
    def __init__(self, address, identity, psk, outbox):
        self.address, self.identity, self.psk, self.outbox = address, identity, psk, outbox
        self.batch_ms, self.intervals_us = 1_000, {TEMPERATURE: 1_000_000, PULSE: 50_000}
        self.link = None
        self.refusals = {}  # how often, by boot and sequence
        self.given_up = []

    def connect(self, boot):
        """Says Hello and sends again what the server lacks of `boot`; tries until it succeeds."""
        pause_s, deadline = 0.1, time.monotonic() + PATIENCE_S
        while True:
            try:
                self.link = Link(self.address, self.identity, self.psk)
                self.greet(boot)
                return
            except ConnectionLost as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{self.address} does not serve this identity with this PSK: {error}") from None
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 5)

    def greet(self, boot):
        box, held = self.outbox.boots[boot], self.outbox.held(boot)
        oldest = held[0][0] if held else box["next"]
        hello = {0: 1, 1: int(boot, 16), 2: "pico", 3: "python-1", 4: now_ms(), 5: oldest}
        if boot != self.outbox.boot:
            hello.update({4: box["time_ms"] + now_ms(), 6: True})  # the boot is over
        self.link.send(cbor2.dumps([HELLO, hello]))
        welcomed, deadline = False, time.monotonic() + PATIENCE_S
        while not welcomed:
            if time.monotonic() > deadline:
                raise ConnectionLost("no Welcome came")
            for kind, fields in self.link.receive(deadline - time.monotonic()):
                self.understand(boot, kind, fields)
                welcomed |= kind == WELCOME
        for sequence, message in self.outbox.held(boot):
            self.link.send(message)
            print(f"sent {sequence} again", flush=True)
        if boot == self.outbox.boot:  # an event has the clock of the present boot
            while self.given_up:
                self.say(BATCH_REFUSED, self.given_up.pop())

    def understand(self, boot, kind, fields):
        if kind == WELCOME:
            print(f"welcome, held up to {fields.get(2, 0)}", flush=True)
            self.outbox.acknowledged(boot, fields.get(2, 0))
        elif kind == ACK:
            print(f"acknowledged {fields[0]}", flush=True)
            self.outbox.acknowledged(boot, fields[0])
        elif kind == CONFIGURE:
            self.batch_ms = fields.get(0, self.batch_ms)
            self.intervals_us.update(fields.get(1, {}))
            print(f"batches of {self.batch_ms} ms", flush=True)
        elif kind == REFUSED:
            if 2 in fields:
                self.count_refusal(boot, fields[2], fields[0])
            raise ConnectionLost(f"refused, code {fields[0]}: {fields[1]}")
        # Messages of later versions are skipped, and so are fields that we do not know.

    def count_refusal(self, boot, sequence, code):
        """Gives a batch up at its third refusal (§4.2, point 10). All that is held was sent in this connection."""
        refused = next((number for number, _ in self.outbox.held(boot) if number >= sequence), None)
        if refused is None:
            return
        times = self.refusals[boot, refused] = self.refusals.get((boot, refused), 0) + 1
        print(f"refused {refused}, {times} times, code {code}", flush=True)
        if times == REFUSALS_MAX:
            self.outbox.give_up(boot, refused)
            self.given_up.append(f"batch {refused} of boot {boot} was refused {times} times, code {code}")

    def listen(self, boot, seconds):
        """Handles what comes for so long; connects again when the connection is lost."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                for kind, fields in self.link.receive(left):
                    self.understand(boot, kind, fields)
            except ConnectionLost:
                self.reconnect(boot)

    def reconnect(self, boot):
        self.link.cut()
        self.connect(boot)

    def deliver_past(self):
        """What is left of earlier boots goes first, each in a connection of its own."""
        for boot in [boot for boot in self.outbox.boots if boot != self.outbox.boot]:
            if self.outbox.held(boot):
                self.connect(boot)
                self.until_acknowledged(boot)
                self.link.close()
            del self.outbox.boots[boot]
            self.outbox.save()

    def until_acknowledged(self, boot):
        deadline = time.monotonic() + PATIENCE_S
        while self.outbox.held(boot):
            if time.monotonic() > deadline:
                raise SystemExit("not everything was acknowledged; it is in the outbox, run again to send it")
            self.listen(boot, 0.05)

    def say(self, code, text):
        try:
            self.link.send(cbor2.dumps([EVENT, {0: code, 1: text, 2: now_ms()}]))
        except ConnectionLost:
            pass  # Events may be lost; what comes next notices that the connection is.

    def measure(self):
        """Measures for the length of a batch, then stores the batch and sends it."""
        time_ms = now_ms()
        self.listen(self.outbox.boot, self.batch_ms / 1_000)
        number = self.outbox.boots[self.outbox.boot]["next"]
        counts = {index: max(1, self.batch_ms * 1_000 // us) for index, us in self.intervals_us.items()}
        temperature = [3_600 + number] * counts[TEMPERATURE]  # scale -2: 36.01, 36.02, …
        pulse = [1_650 + round(1_000 * math.sin(math.tau * place / counts[PULSE])) for place in range(counts[PULSE])]
        int16s = b"".join(value.to_bytes(2, "little", signed=True) for value in temperature)
        channels = [
            {0: TEMPERATURE, 1: self.intervals_us[TEMPERATURE], 2: -2, 3: cbor2.CBORTag(SINT16_LE, int16s)},
            {0: PULSE, 1: self.intervals_us[PULSE], 2: -3, 3: pack(pulse)},
        ]
        message = self.outbox.put(time_ms, channels)
        try:
            self.link.send(message)
            print(f"sent {number}: temperature {temperature}, pulse {pulse}", flush=True)
        except ConnectionLost:
            self.reconnect(self.outbox.boot)


def pack(values):
    """§4.4: the shortest of all predictors and orders."""
    return min((pack_as(values, predictor, order) for predictor in range(3) for order in range(16)), key=len)


def pack_as(values, predictor, order):
    zigzag = lambda number: 2 * number if number >= 0 else -2 * number - 1
    packed, first = bytearray([predictor << 5 | order]), zigzag(values[0])
    while first > 127:
        packed.append(first & 127 | 128)
        first >>= 7
    packed.append(first)
    bits = ""
    for place in range(1, len(values)):
        last, before = values[place - 1], values[max(place - 2, 0)]
        z = zigzag(values[place] - (values[0], last, 2 * last - before)[predictor])
        n = bin((z >> order) + 1)[2:]
        bits += "0" * (len(n) - 1) + n + (f"{z & (1 << order) - 1:0{order}b}" if order else "")
    bits += "0" * (-len(bits) % 8)
    return bytes(packed) + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="HOST:PORT of the server")
    parser.add_argument("key", type=pathlib.Path, help="file with the lines `identity: …` and `psk: …`")
    parser.add_argument("--outbox", type=pathlib.Path, default="vitalwire.outbox", help="where batches are kept")
    parser.add_argument("--batches", type=int, default=10, help="how many this boot makes in all")
    parser.add_argument("--boot", help="another boot than this computer's, 16 hexadecimal digits")
    parser.add_argument("--cut-after", type=int, help="lose the connection right after sending this batch")
    arguments = parser.parse_args()
    key = dict(line.split(": ", 1) for line in arguments.key.read_text().splitlines() if ": " in line)
    kernel_boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    boot = arguments.boot or kernel_boot.read_text().replace("-", "")[:16]
    outbox = Outbox(arguments.outbox, boot)
    device = Device(arguments.address, key["identity"], bytes.fromhex(key["psk"]), outbox)
    device.deliver_past()
    device.connect(boot)
    device.say(1, "the Python client started")
    while (made := device.outbox.boots[boot]["next"] - 1) < arguments.batches:
        if made and made == arguments.cut_after:
            device.link.cut()
        device.measure()
    device.until_acknowledged(boot)
    device.link.close()


if __name__ == "__main__":
    main()

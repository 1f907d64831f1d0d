"""The other end of the network scenarios' cables.

    wire.py sums PORT
        whoever connects and sends gets the MD5 of it
    wire.py hear IFACE [promisc] [GROUP]
        says what a packet socket and a UDP socket (port 7) get, until "stop"
        comes; touches /run/hearing when it listens
    wire.py send IFACE MAC WHAT ...
        sends frames.  WHAT: a word to say, after it @MAC for another address,
        or %VLAN; udp-good and udp-bad with IPs as in udp-bad/10.9.0.1/10.9.0.2;
        group/239.1.2.3 for UDP to that group

Runs in dom0, and in guests from a disk that brings Python along.  Frames of
one sender stay in order: what has not come before "stop" does not come.
"""

import os
import select
import socket
import socketserver
import struct
import sys
import time

ETH_P_ALL, PORT = 3, 7
LOCAL = 0x88b5                  # an EtherType for experiments


# --- checksums of whole transfers ----------------------------------------------

class Sums(socketserver.BaseRequestHandler):
    def handle(self):
        import hashlib          # not in every guest
        h = hashlib.md5()
        while data := self.request.recv(65536):
            h.update(data)
        self.request.sendall(h.hexdigest().encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    address_family = socket.AF_INET6            # IPv4 as well


def sums(port):
    Server(("::", int(port)), Sums).serve_forever()


# --- single frames ------------------------------------------------------------

def mac(text):
    return bytes(int(x, 16) for x in text.split(":"))


def ones_sum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H",
                              data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def udp(src, dst, text, wrong):
    """An IP packet; its UDP checksum is right, or off by one."""
    src, dst = socket.inet_aton(src), socket.inet_aton(dst)
    length = 8 + len(text)
    head = struct.pack("!HHH", PORT, PORT, length)
    check = ~ones_sum(src + dst + struct.pack("!HH", 17, length) + head
                      + text) & 0xffff
    head += struct.pack("!H", check + wrong & 0xffff)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0)
    ip += src + dst
    ip = ip[:10] + struct.pack("!H", ~ones_sum(ip) & 0xffff) + ip[12:]
    return ip + head + text


def frame(source, target, what):
    word, _, rest = what.partition("/")
    kind, body = LOCAL, b""
    text = b"wire:" + word.encode() + b"\n"
    if word.startswith("udp-"):
        kind, body = 0x800, udp(*rest.split("/"), text, word == "udp-bad")
    elif word.startswith("group"):
        ip = socket.inet_aton(rest)
        target = b"\x01\x00\x5e" + bytes([ip[1] & 0x7f]) + ip[2:]
        kind, body = 0x800, udp("10.9.0.1", rest, text, 0)
    else:
        word, _, vlan = word.partition("%")
        word, _, other = word.partition("@")
        target = mac(other) if other else target
        body = b"wire:" + word.encode() + b"\n"
        if vlan:
            return (target + source + struct.pack("!HHH", 0x8100, int(vlan),
                                                  kind) + body).ljust(60,
                                                                      b"\0")
    return (target + source + struct.pack("!H", kind) + body).ljust(60, b"\0")


def send(iface, target, *words):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((iface, 0))
    source = s.getsockname()[4]
    for what in [*words, *["stop"] * 3]:
        s.send(frame(source, mac(target), what))
        time.sleep(0.05)


def said(data):
    """The word in it, if it is one of ours."""
    at = data.find(b"wire:")
    return data[at + 5:data.find(b"\n", at)].decode() if at >= 0 else None


def checksum_of(data):
    """Whether an UDP packet's is right; nothing for other frames."""
    if data[12:14] != b"\x08\x00":
        return ""
    length = struct.unpack("!H", data[38:40])[0]
    whole = data[26:34] + struct.pack("!HH", 17, length) + \
        data[34:34 + length]
    return " right" if ones_sum(whole) == 0xffff else " wrong"


def hear(iface, *words):
    p = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                      socket.htons(ETH_P_ALL))
    p.bind((iface, ETH_P_ALL))
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(("0.0.0.0", PORT))
    index = socket.if_nametoindex(iface)
    for word in words:
        if word == "promisc":           # SOL_PACKET, PACKET_ADD_MEMBERSHIP
            p.setsockopt(263, 1, struct.pack("iHH8s", index, 1, 0, b""))
        else:
            u.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         socket.inet_aton(word) + bytes(4)
                         + struct.pack("i", index))
    with open("/run/hearing", "w", encoding="ascii"):
        pass
    end, stop = time.monotonic() + 120, False
    while not stop and time.monotonic() < end:
        ready, _, _ = select.select([p, u], [], [], 1)
        for s in ready:
            data, sender = s.recvfrom(65536)
            word = said(data)
            if word is None or s is p and sender[2] == 4:   # our own
                continue
            if word == "stop":
                stop = True
            elif s is p:
                print(f"frame {word}{checksum_of(data)}.")
            else:
                print(f"datagram {word}.")
    while select.select([u], [], [], 0.5)[0]:       # another queue
        print(f"datagram {said(u.recv(65536))}.")
    print("stopped." if stop else "heard no stop.")
    os.unlink("/run/hearing")


if __name__ == "__main__":
    {"sums": sums, "hear": hear, "send": send}[sys.argv[1]](*sys.argv[2:])

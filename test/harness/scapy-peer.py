"""
A STAMP peer whose packets are Scapy's (scapy.contrib.stamp, Debian's python3-scapy): all fields and time stamps are
laid out and read by that project, which has nothing from ours. Scapy knows the unauthenticated mode only.

  scapy-peer.py reflect ADDRESS PORT      stateful for one session; prints its port first
  scapy-peer.py send ADDRESS PORT COUNT   one line a probe: "SEQ REFLECTOR_SEQ RTT_NS RESIDENCE_NS"; ends with an error
                                          at the first that is not answered
"""
import socket
import sys
import time
from fractions import Fraction

from scapy.contrib.stamp import (
    ErrorEstimate,
    STAMPSessionReflectorTestUnauthenticated as Answer,
    STAMPSessionSenderTestUnauthenticated as Probe,
)
from scapy.layers.inet import UDP

STAMP_PORT = 862
UNIX_EPOCH_NTP_S = 2_208_988_800
# Not synchronized; 2^-32 s * 2^20 * 1, about 0.25 ms.
ESTIMATE = ErrorEstimate(S=0, Z=0, scale=20, multiplier=1)


def ntp():
    """Seconds, exactly; the field cuts them to 32 binary places."""
    return Fraction(time.time_ns(), 10**9) + UNIX_EPOCH_NTP_S


def stamp(packet, name):
    """As it stands in the packet: what Scapy shows of it is rounded."""
    return Fraction(packet.fields[name], 2**32)


def ns_between(start, end):
    return int((end - start) * 10**9)


def dissect(layer, data):
    """By its place behind UDP, as Scapy reads a capture."""
    ports = {"dport": STAMP_PORT, "sport": 1} if layer is Probe else {"dport": 1, "sport": STAMP_PORT}
    read = UDP(bytes(UDP(**ports, len=8 + len(data), chksum=1)) + data)[layer]
    if bytes(read) != data:
        raise ValueError("Scapy would write the packet otherwise: " + data.hex())
    return read


def reflect(sock):
    sequence = 0
    while True:
        data, sender = sock.recvfrom(2048)
        received = ntp()
        probe = dissect(Probe, data)
        answer = Answer(
            seq=sequence, ts=ntp(), err_estimate=ESTIMATE, ssid=probe.ssid, ts_rx=received,
            seq_sender=probe.seq, ts_sender=stamp(probe, "ts"), err_estimate_sender=probe.err_estimate, ttl_sender=64,
        )
        sock.sendto(bytes(answer), sender)
        sequence += 1


def send(sock, count):
    for sequence in range(count):
        sent = ntp()
        probe = Probe(seq=sequence, ts=sent, err_estimate=ESTIMATE, ssid=77)
        sock.send(bytes(probe))
        data = sock.recv(2048)
        back = ntp()
        answer = dissect(Answer, data)
        if (answer.seq_sender, stamp(answer, "ts_sender"), answer.ssid) != (sequence, stamp(probe, "ts"), 77):
            raise ValueError("not the answer to this probe: " + answer.show(dump=True))
        print(sequence, answer.seq, ns_between(sent, back), ns_between(stamp(answer, "ts_rx"), stamp(answer, "ts")), flush=True)


def main(mode, address, port, *count):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if mode == "reflect":
        sock.bind((address, int(port)))
        print(sock.getsockname()[1], flush=True)
        reflect(sock)
    else:
        sock.settimeout(10)
        sock.connect((address, int(port)))
        send(sock, int(count[0]))


main(*sys.argv[1:])

"""A DNS server in this process, for answers that no real server gives."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from anchor.acme.settings import ResolverAddress

SILENCE = object()
"""An answer that never comes."""


class DnsStub:
    """Answers each query with what a function returns.

    Args:
        answer: called with the name, without the dot at its end, and the type of a query. Returns a
            list of records, each its text or a pair of a type and its text; the name of an error;
            or :data:`SILENCE`.
        host: the address to listen on.
        truncated: True to answer over TCP only.
    """

    def __init__(self, answer, host="127.0.0.1", *, truncated=False):
        self._answer = answer
        self._truncated = truncated
        self.queries = []
        self._udp, self._tcp = _bind(host)
        self.address = ResolverAddress(host, self._udp.getsockname()[1])
        self._threads = [
            threading.Thread(target=serve, daemon=True)
            for serve in (self._serve_udp, self._serve_tcp)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for each, thread in zip((self._udp, self._tcp), self._threads, strict=True):
            # Wakes the thread that waits.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            # No thread ends in the middle of a later test.
            thread.join()
            each.close()

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                wire, peer = self._udp.recvfrom(4096)
                if not wire:
                    # It was shut down.
                    return
                response = self._respond(wire, "udp")
                if response is not None:
                    if self._truncated:
                        response.answer = []
                        response.flags |= dns.flags.TC
                    self._udp.sendto(response.to_wire(), peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    [size] = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                    response = self._respond(connection.recv(size, socket.MSG_WAITALL), "tcp")
                    if response is not None:
                        wire = response.to_wire(max_size=65535)
                        connection.sendall(struct.pack("!H", len(wire)) + wire)

    def _respond(self, wire, transport):
        query = dns.message.from_wire(wire)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, transport))
        records = self._answer(name, kind)
        if records is SILENCE:
            return None
        response = dns.message.make_response(query)
        if isinstance(records, str):
            response.set_rcode(dns.rcode.from_text(records))
            return response
        texts = {}
        for record in records:
            record_kind, text = (kind, record) if isinstance(record, str) else record
            texts.setdefault(record_kind, []).append(text)
        response.answer = [
            dns.rrset.from_text_list(question.name, 1, "IN", record_kind, each)
            for record_kind, each in texts.items()
        ]
        return response


def _bind(host):
    """A socket for UDP and one for TCP at the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        tcp = socket.create_server((host, 0), family=family)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.bind((host, tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
        else:
            return udp, tcp


def zone(records):
    """An answer from a mapping of pairs of a name and a type; NXDOMAIN for other names."""

    def answer(name, kind):
        if (name, kind) in records:
            return records[name, kind]
        return [] if any(name == other for other, _ in records) else "NXDOMAIN"

    return answer

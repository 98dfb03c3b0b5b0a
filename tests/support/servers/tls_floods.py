"""TLS servers that send messages without end, which OpenSSL's clients ignore."""

from __future__ import annotations

import os
import socket
import struct
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.support.servers.scripted import ScriptedServer

# A client without limits ends too.
_SECONDS = 6
_HELLO_REQUEST = b"\0\0\0\0"


def hello_requests(pause=0.0):
    """A server that answers the ClientHello with HelloRequests (RFC 5246 section 7.4.1.1).

    Args:
        pause: the seconds between two records; without a pause, a record is full.
    """
    payload = _HELLO_REQUEST * (1 if pause else 4000)
    record = struct.pack("!BHH", 22, 0x0303, len(payload)) + payload

    def flood(connection):
        connection.recv(4096)
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            connection.sendall(record)
            time.sleep(pause)

    return ScriptedServer(flood)


def session_tickets(context, key_log):
    """A server that sends NewSessionTickets after the handshake (RFC 8446 section 4.6.1).

    It encrypts them itself, because OpenSSL makes them more slowly than a client reads them.

    Args:
        context: the context of the server.
        key_log: a file for the secrets of the connection.
    """
    context.keylog_filename = str(key_log)
    # Tickets of OpenSSL would count in the nonces.
    context.num_tickets = 0

    def flood(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            assert tls.cipher()[0] == "TLS_AES_256_GCM_SHA384"
            [secret] = [
                bytes.fromhex(line.split()[2])
                for line in key_log.read_text().splitlines()
                if line.startswith("SERVER_TRAFFIC_SECRET_0 ")
            ]
            with socket.socket(fileno=os.dup(tls.fileno())) as raw:
                _send_tickets(raw, secret)

    return ScriptedServer(flood)


def _send_tickets(raw, secret):
    body = struct.pack("!IIBH1sH", 3600, 0, 0, 1, b"A", 0)
    message = b"\x04" + len(body).to_bytes(3, "big") + body
    # The last byte is the type of the contents: a handshake message.
    plain = message * (16_000 // len(message)) + b"\x16"
    header = struct.pack("!BHH", 23, 0x0303, len(plain) + 16)
    cipher = AESGCM(_expand(secret, b"key", 32))
    iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
    end = time.monotonic() + _SECONDS
    number = 0
    while time.monotonic() < end:
        nonce = (iv ^ number).to_bytes(12, "big")
        raw.sendall(header + cipher.encrypt(nonce, plain, header))
        number += 1


def _expand(secret, label, length):
    """HKDF-Expand-Label (RFC 8446 section 7.1) without a context."""
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return HKDFExpand(hashes.SHA384(), length, info).derive(secret)

"""A TLS handshake without a network."""

from __future__ import annotations

import ssl

from cryptography import x509


def handshake(chain, key, name, ca_file):
    """Connect a client that trusts a CA with a server; return the server's certificate.

    Args:
        chain: the file with the server's certificates.
        key: the file with the server's key.
        name: the name that the client connects to.
        ca_file: the file with the CA's certificate.
    """
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(chain, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    trusting = ssl.create_default_context(cafile=ca_file)
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return x509.load_der_x509_certificate(client.getpeercert(binary_form=True))

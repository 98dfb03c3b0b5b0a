"""Get or revoke a certificate with the library acme.

python_client.py issue DIRECTORY KID SECRET PATH NAME
python_client.py revoke DIRECTORY CERTIFICATE KEY
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import josepy
from acme import client, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_COMPROMISE = 1


def connect(directory_url, key, account=None):
    """A client whose requests are signed with a key."""
    network = client.ClientNetwork(key, account=account, alg=josepy.ES256)
    directory = messages.Directory.from_json(network.get(directory_url).json())
    return client.ClientV2(directory, network)


def issue(directory_url, kid, secret, path, name, *, lose_response=False):
    account_file = Path(path, "account.json")
    if account_file.exists():
        known = json.loads(account_file.read_text())
        key = josepy.JWK.from_json(known["key"])
        account = messages.RegistrationResource.from_json(known["account"])
        acme = connect(directory_url, key, account)
    else:
        key = josepy.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        acme = connect(directory_url, key)
        binding = messages.ExternalAccountBinding.from_data(
            key.public_key(), kid, secret, acme.directory
        )
        account = acme.new_account(
            messages.NewRegistration.from_data(
                email="admin@example.com",
                terms_of_service_agreed=True,
                external_account_binding=binding,
            )
        )
        account_file.write_text(json.dumps({"key": key.to_json(), "account": account.to_json()}))
    certificate_key = ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(certificate_key, hashes.SHA256())
    )
    order = acme.new_order(csr.public_bytes(Encoding.PEM))
    if lose_response:
        acme.begin_finalization(order)
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=20)
    order = acme.finalize_order(order, deadline)
    Path(path, f"{name}.crt").write_text(order.fullchain_pem)
    Path(path, f"{name}.key").write_bytes(
        certificate_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def revoke(directory_url, certificate, key):
    loaded = load_pem_private_key(Path(key).read_bytes(), None)
    first = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    connect(directory_url, josepy.JWKEC(key=loaded)).revoke(first, KEY_COMPROMISE)


def lose_response(*arguments):
    """Send the CSR, ignore the response, and begin again."""
    issue(*arguments, lose_response=True)


if __name__ == "__main__":
    commands = {"issue": issue, "lose-response": lose_response, "revoke": revoke}
    commands[sys.argv[1]](*sys.argv[2:])

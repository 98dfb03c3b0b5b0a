"""Prime numbers from OpenSSL as moduli."""

from __future__ import annotations

import subprocess

import pytest

from anchor.X509.weak_keys import WeakKey
from tests.support.servers.processes import program
from tests.unit.X509.test_computable_keys import check_modulus


def openssl_prime(bits):
    command = [program("openssl", "openssl"), "prime", "-generate", "-bits", str(bits)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_prime_modulus_is_rejected(bits):
    with pytest.raises(WeakKey, match="is a prime"):
        check_modulus(openssl_prime(bits))

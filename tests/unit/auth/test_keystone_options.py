"""The options of the Keystone backend."""

from __future__ import annotations

import pytest

from anchor.auth.loading import load_authenticator
from anchor.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        7,
        "keystone.example.com",
        "ldap://keystone.example.com",
        "https://",
        "https://:5000/v3",
        "https://keystone.example.com:0/v3",
        "https://keystone.example.com:70000/v3",
        "https://keystone.example.com:port/v3",
        "https://[::1/v3",
        "https://keystone.example.com/v2.0",
        "https://keystone.example.com/v3?token=s3cret",
        "https://anchor:s3cret@keystone.example.com/v3",
    ],
)
def test_a_wrong_url_is_an_error_of_the_configuration(tmp_path, url):
    with pytest.raises(ConfigurationError, match=r"url: should (be|have)") as caught:
        load_authenticator("cloud", {"backend": "keystone", "url": url}, tmp_path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("domains", [[], "Default", [""], [1]])
def test_domains_are_a_list_of_names(tmp_path, domains):
    section = {
        "backend": "keystone",
        "url": "https://keystone.example.com",
        "user_domains": domains,
    }
    with pytest.raises(ConfigurationError, match="user_domains"):
        load_authenticator("cloud", section, tmp_path)


def test_a_ca_file_without_certificates_is_an_error_of_the_configuration(tmp_path):
    (tmp_path / "ca.pem").write_text("<html>not found</html>")
    section = {"backend": "keystone", "url": "https://keystone.example.com", "ca_file": "ca.pem"}
    with pytest.raises(ConfigurationError, match=r"ca\.pem is no file of CA certificates: not PEM"):
        load_authenticator("cloud", section, tmp_path)

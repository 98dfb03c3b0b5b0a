"""The section ``web`` of ``config.py``."""

from __future__ import annotations

import pytest

from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError
from anchor.web.settings import WebSettings


def test_the_documentations_url_has_no_slash_at_its_end(tmp_path):
    web = validate_options(
        WebSettings, {"documentation_url": "HTTPS://Docs.example.com/anchor/"}, tmp_path
    )

    assert "https://docs.example.com/anchor" == web.documentation_url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "/usr/share/doc/anchor",
        "docs.example.com",
        "https://docs.example.com/?page=1",
        "https://docs.example.com/#top",
        "https://docs.example.com/a\nb",
        7,
    ],
)
def test_the_documentations_url_is_an_http_url(url, tmp_path):
    with pytest.raises(ConfigurationError, match="documentation_url: should be a URL"):
        validate_options(WebSettings, {"documentation_url": url}, tmp_path)

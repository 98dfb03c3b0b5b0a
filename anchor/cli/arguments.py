"""Arguments that name a token or a registration authority."""

from __future__ import annotations

from anchor.auth.credentials import is_token_id
from anchor.config.document import Document
from anchor.config.suggestions import did_you_mean
from anchor.errors import ConfigurationError


def require_token_id(text: str) -> None:
    """Require the identifier of a token, which need not exist.

    Raises:
        ConfigurationError: it has another form.
    """
    if not is_token_id(text):
        # Not repeated: it may be the secret.
        raise ConfigurationError.about(
            "",
            "that is not an identifier of a token, which is tk_ and 16 letters or digits: "
            "`anchor token list` prints them",
        )


def unknown_authority(document: Document, name: str) -> ConfigurationError:
    """The error about a registration authority that the configuration does not have."""
    names = document.registration_authority
    hint = did_you_mean(name, names)
    hint = hint or f": the configuration has {', '.join(map(repr, sorted(names)))}"
    return ConfigurationError.about("", f"there is no registration authority {name!a}{hint}")

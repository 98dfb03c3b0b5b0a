"""The directories in which the CAs of a configuration store their certificates."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from anchor.ca.settings import CASettings
from anchor.config.document import Document
from anchor.config.plugins import validate_options


@dataclass(frozen=True)
class CertificateLocations:
    """The directories of stored certificates, and the audit file, of a configuration.

    Attributes:
        directories: the directories of stored certificates.
        without_directory: the names of the signing CAs that store no certificates.
        longest_validity: the longest validity of any signing CA.
        audit: the audit file, if the audit target is ``file``.
    """

    directories: tuple[Path, ...]
    without_directory: tuple[str, ...]
    longest_validity: datetime.timedelta
    audit: Path | None

    @classmethod
    def of(cls, document: Document) -> CertificateLocations:
        """Read them from a configuration, without keys and secrets; CAs may have expired.

        Raises:
            ConfigurationError: the section of a signing CA is invalid.
        """
        directories: dict[Path, None] = {}
        without_directory = []
        longest_validity = datetime.timedelta()
        for name, section in document.signing_ca.items():
            common = {key: section[key] for key in CASettings.model_fields if key in section}
            settings = validate_options(CASettings, common, document.base)
            longest_validity = max(longest_validity, settings.validity)
            if settings.output_path is None:
                without_directory.append(name)
            else:
                directories[settings.output_path.absolute()] = None
        return cls(
            tuple(directories), tuple(without_directory), longest_validity, document.audit_path
        )

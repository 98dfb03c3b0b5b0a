"""Where the certificates of a configuration's CAs are stored."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from anchor.ca.settings import CASettings
from anchor.config.document import Document
from anchor.config.plugins import validate_options


@dataclass(frozen=True)
class CertificateLocations:
    """Where a configuration has its certificates and its record.

    Attributes:
        directories: of the stored certificates.
        unstored: the signing CAs that store none.
        longest: the longest validity of any signing CA.
        audit: the audit's file, if it goes to one.
    """

    directories: tuple[Path, ...]
    unstored: tuple[str, ...]
    longest: datetime.timedelta
    audit: Path | None

    @classmethod
    def of(cls, document: Document) -> CertificateLocations:
        """Those in a configuration; neither keys nor secrets nor a CA still valid are needed.

        Raises:
            ConfigurationError: a signing CA's section is not in order.
        """
        directories: dict[Path, None] = {}
        unstored = []
        longest = datetime.timedelta()
        for name, section in document.signing_ca.items():
            common = {key: section[key] for key in CASettings.model_fields if key in section}
            settings = validate_options(CASettings, common, document.base)
            longest = max(longest, settings.validity)
            if settings.output_path is None:
                unstored.append(name)
            else:
                directories[settings.output_path.absolute()] = None
        return cls(tuple(directories), tuple(unstored), longest, document.audit_path)

"""The options of ``client.json``, which ``anchor request`` also takes on its command line."""

from __future__ import annotations

from typing import Annotated

import pydantic

from anchor.config.file_types import FilePath

AuthorityName = Annotated[str, pydantic.Field(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\z")]


class KeystoneSettings(pydantic.BaseModel):
    """The ``keystone`` section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cloud: str | None = pydantic.Field(
        None, description="the cloud's name in clouds.yaml; without it the OS_* environment is used"
    )


class ClientSettings(pydantic.BaseModel):
    """The keys of ``client.json``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    url: str = pydantic.Field(
        description="where the service is, or the URL of a registration authority"
    )
    authority: AuthorityName = pydantic.Field(
        "default", description="the registration authority to ask"
    )
    user: str = pydantic.Field("", description="the user name to give")
    secret_file: FilePath | None = pydantic.Field(
        None, description="a file that others cannot read, with the secret in it"
    )
    secret_command: tuple[str, ...] | None = pydantic.Field(
        None, description="a program and its arguments, which prints the secret"
    )
    token_file: FilePath | None = pydantic.Field(
        None, description="a file with a token of Anchor in JSON"
    )
    jwt_file: FilePath | None = pydantic.Field(
        None, description="a file with a JWT, which others cannot write; read for each request"
    )
    keystone: KeystoneSettings | None = pydantic.Field(
        None, description="use a token of Keystone as the secret"
    )
    renew_with_certificate: bool = pydantic.Field(
        True,
        description="whether a renewal uses the certificate, and the secret only if that is "
        "refused",
    )
    delete_secret: bool = pydantic.Field(
        False,
        description="whether the file of the secret is deleted after a renewal with the "
        "certificate",
    )
    ca_file: FilePath | None = pydantic.Field(
        None,
        description="the CA certificates, in PEM, that verify the service's TLS certificate",
    )
    issuer_ca_file: FilePath | None = pydantic.Field(
        None,
        description="the CA certificates, in PEM, that a certificate from the service must lead to",
    )
    allow_http: bool = pydantic.Field(False, description="whether a URL without TLS is allowed")
    timeout: Annotated[float, pydantic.Field(gt=0, le=600)] = pydantic.Field(
        30, description="how many seconds an answer may take"
    )

"""A Keystone token, with the usual ``OS_*`` environment or ``clouds.yaml``.

The optional packages keystoneauth1, and PyYAML for clouds.yaml, are imported when they are needed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anchor.client.errors import CredentialsRefused, Misconfigured, Unavailable


def fetch_token(
    cloud: str | None, timeout: float, environment: Mapping[str, str] = os.environ
) -> str:
    """Fetch a token from Keystone.

    Args:
        cloud: the cloud's name in ``clouds.yaml``; None for ``$OS_CLOUD``, or without that for
            the ``OS_*`` environment.
        timeout: the seconds that Keystone may take.
        environment: the environment; ``OS_TOKEN`` without ``OS_AUTH_URL`` is returned unchanged.

    Raises:
        Misconfigured: a setting is missing or wrong.
        CredentialsRefused: Keystone refused the credentials.
        Unavailable: Keystone does not answer.
    """
    cloud = cloud or environment.get("OS_CLOUD")
    if cloud:
        settings = _from_clouds_yaml(cloud, environment)
    elif environment.get("OS_TOKEN") and not environment.get("OS_AUTH_URL"):
        return environment["OS_TOKEN"]
    else:
        settings = {
            name.removeprefix("OS_").lower(): value
            for name, value in environment.items()
            if name.startswith("OS_") and value
        }
    if not settings.get("auth_url"):
        raise Misconfigured("keystone: neither OS_AUTH_URL nor a cloud says where it is")
    return _request_token(settings, timeout)


def _request_token(settings: Mapping[str, Any], timeout: float) -> str:
    loading = _import("keystoneauth1.loading", "keystoneauth1")
    session_module = _import("keystoneauth1.session", "keystoneauth1")
    exceptions = _import("keystoneauth1.exceptions", "keystoneauth1")
    bounded_http = _import("anchor.auth.bounded_http", "requests")
    auth_type = str(settings.get("auth_type") or _auth_type(settings))
    verify = settings.get("cacert") or settings.get("verify", True)
    try:
        loader = loading.get_plugin_loader(auth_type)
        options = {option.dest for option in loader.get_options()}
        plugin = loader.load_from_options(
            **{name: value for name, value in settings.items() if name in options}
        )
        session = session_module.Session(auth=plugin, verify=verify, timeout=timeout)
        for scheme in ("http://", "https://"):
            session.session.mount(scheme, bounded_http.BoundedAdapter())
        token = session.get_token()
    except (exceptions.ConnectFailure, exceptions.HttpServerError) as error:
        raise Unavailable(f"keystone is not available: {type(error).__name__}") from error
    except exceptions.Unauthorized:
        raise CredentialsRefused("keystone refused the credentials") from None
    except (exceptions.ClientException, OSError, ValueError) as error:
        # The texts of these errors contain options and URLs, but no secrets.
        raise Misconfigured(f"keystone: {_first_line(error)}") from None
    if not token:
        raise Misconfigured("keystone gave no token")
    return str(token)


def _auth_type(settings: Mapping[str, Any]) -> str:
    if any(name.startswith("application_credential") for name in settings):
        return "v3applicationcredential"
    return "token" if settings.get("token") else "password"


def _from_clouds_yaml(cloud: str, environment: Mapping[str, str]) -> dict[str, Any]:
    yaml = _import("yaml", "PyYAML")
    paths = [
        *(Path(path) for path in [environment.get("OS_CLIENT_CONFIG_FILE")] if path),
        Path("clouds.yaml"),
        Path("~/.config/openstack/clouds.yaml").expanduser(),
        Path("/etc/openstack/clouds.yaml"),
    ]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise Misconfigured(f"keystone: there is no {', '.join(map(str, paths))}")
    settings: dict[str, Any] = {}
    # secure.yaml, beside it, may contain the secrets.
    for part in (path, path.with_name("secure.yaml")):
        if part.is_file():
            for name, value in _cloud(yaml, part, cloud).items():
                settings.update(value if name == "auth" and isinstance(value, dict) else {})
                settings.setdefault(name, value)
    if not settings:
        raise Misconfigured(f"keystone: {path} has no cloud {cloud!r}")
    return {name.replace("-", "_"): value for name, value in settings.items()}


def _cloud(yaml: Any, path: Path, cloud: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_bytes())
        section = document["clouds"].get(cloud) or {}
        return dict(section)
    except OSError as error:
        raise Misconfigured(f"keystone: {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, TypeError, KeyError, AttributeError, ValueError):
        raise Misconfigured(f"keystone: {path} is not a clouds.yaml") from None


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Misconfigured(f"keystone: the Python package {package} is not installed") from None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]

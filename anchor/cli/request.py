"""``anchor request``: get a key and a certificate, and track them for renewal."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import sys
import time
from dataclasses import replace
from pathlib import Path

from anchor.cli import client_options, values
from anchor.client import configuration, connection_options, schedule, signing_request, trust
from anchor.client.errors import Misconfigured, Unavailable
from anchor.client.outcome import Outcome
from anchor.client.renewal import Renewer
from anchor.client.tracking import CertificateSpec, StateDirectory, is_name
from anchor.config.file_types import read_secret
from anchor.errors import AnchorError
from anchor.X509 import create_ca


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Make a key, request a certificate for it, write both, and track them for "
        "`anchor renew`. After a failure, the old files and state are unchanged. Exits with 0 for "
        "success, 1 for a failure, 3 if only the hook failed, 75 if the service was not "
        "available."
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="DNS names and addresses for the certificate"
    )
    connection_options.add_options(parser)
    connection_options.add_delete_secret(parser)
    parser.add_argument("--authority", help="the registration authority, if not the configured one")
    parser.add_argument(
        "--name", dest="tracked_as", help="the name for later commands; default: the first NAME"
    )
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where the files go; default: DIR of --state"
    )
    parser.add_argument("--common-name", help="for the subject; default: the first name")
    parser.add_argument("--key", choices=create_ca.KEYS, default="ec-p256", help="the kind of key")
    parser.add_argument(
        "--reuse-key", action="store_true", help="keep the key at renewals, and now if there is one"
    )
    parser.add_argument("--owner", help="the owner of the files")
    parser.add_argument("--group", help="the group of the files")
    parser.add_argument(
        "--key-mode", type=_mode, default=0o600, help="the mode of files with the key; default: 600"
    )
    parser.add_argument(
        "--hook",
        type=values.words,
        default=[],
        metavar="COMMAND",
        help="a program and its arguments, run without a shell after each success",
    )
    parser.add_argument(
        "--renew-when-left",
        type=_fraction,
        metavar="PART",
        help="renew when this part of the life is left, such as 0.5 for a half; default: the "
        "service decides, which means a third",
    )
    parser.add_argument(
        "--wait",
        type=values.seconds,
        default=0,
        metavar="SECONDS",
        help="how long to retry while the service is not available; default: 0",
    )
    client_options.add_state_option(parser)
    client_options.add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if mode & ~0o660 or not mode & 0o400:
        raise argparse.ArgumentTypeError(f"{text!a} is not 400, 600, 440, 640 or 660")
    return mode


def _fraction(text: str) -> float:
    try:
        part = float(text)
    except ValueError:
        part = 0.0
    if not 0.05 <= part <= 0.95:
        raise argparse.ArgumentTypeError(f"{text!a} is not from 0.05 to 0.95")
    return part


def run(namespace: argparse.Namespace) -> int:
    """Request the certificate."""
    state = client_options.state_directory(namespace)
    name = namespace.tracked_as or namespace.names[0].replace("*", "_wildcard")
    if not is_name(name):
        raise Misconfigured(
            f"{name!r} cannot be the name for later commands: choose another with --name"
        )
    for wanted in namespace.names:
        signing_request.general_name(wanted)
    spec = _spec(namespace, state.default_directory(name))
    if spec.hook:
        trust.require_command(spec.hook)
    _refuse_shared_directory(state, name, spec.directory)
    spec, typed_secret = _secret_of_this_run(spec)
    renewer = replace(client_options.renewer(namespace), typed_secret=typed_secret)
    try:
        outcome = _request_with_retries(renewer, name, spec, namespace.wait)
    except Unavailable as error:
        print(f"anchor: {error}", file=sys.stderr)
        return client_options.UNAVAILABLE
    client_options.print_outcome(outcome, namespace)
    if namespace.json:
        client_options.print_json(client_options.as_json(outcome))
    return client_options.exit_code(outcome)


def _request_with_retries(
    renewer: Renewer, name: str, spec: CertificateSpec, seconds: float
) -> Outcome:
    """Request the certificate, and retry for so many seconds."""
    deadline = time.monotonic() + seconds
    failures = 0
    while True:
        try:
            return renewer.request(name, spec)
        except Unavailable as error:
            failures += 1
            left = max(0.0, deadline - time.monotonic())
            # The last try is at the deadline.
            pause = max(min(schedule.wait(failures, 0), left), error.retry_after or 0)
            if pause > left or not left:
                raise
            renewer.progress(f"{name}: {error}; again in {pause:.0f} seconds")
            time.sleep(pause)


def _spec(namespace: argparse.Namespace, directory: Path) -> CertificateSpec:
    """The options, with absolute paths, because renewals run in another directory."""
    # sys.stdin is None if it is closed.
    may_ask = sys.stdin is not None and sys.stdin.isatty()
    client = connection_options.as_settings(namespace.parser, namespace, may_ask=may_ask)
    config = None
    if client is None:
        config = (namespace.config or configuration.find()).absolute()
    elif namespace.authority is not None:
        client["authority"] = namespace.authority
    return CertificateSpec(
        names=tuple(namespace.names),
        directory=(namespace.directory or directory).absolute(),
        config=config,
        client=client,
        authority=namespace.authority,
        common_name=namespace.common_name,
        key=namespace.key,
        reuse_key=namespace.reuse_key,
        owner=namespace.owner,
        group=namespace.group,
        key_mode=namespace.key_mode,
        hook=_hook(namespace.hook),
        renew_when_left=namespace.renew_when_left,
    )


def _secret_of_this_run(spec: CertificateSpec) -> tuple[CertificateSpec, str | None]:
    """The secret that the user types in, or that is in a pipe, and the spec without the pipe.

    A pipe, such as /dev/stdin, can be read once only, so it is of no use to a later run.
    """
    if spec.client is None or "user" not in spec.client:
        return spec, None
    path = spec.client.get("secret_file")
    if not isinstance(path, str):
        return spec, _ask_for_secret(spec.client["user"])
    # A named pipe elsewhere may be written to again for each renewal.
    if not (path.startswith(("/dev/", "/proc/")) and Path(path).is_fifo()):
        return spec, None
    try:
        secret = read_secret(Path(path)).get_secret_value()
    except ValueError as error:
        raise Misconfigured(f"--secret-file: {error}") from None
    if not secret:
        raise Misconfigured(f"--secret-file: {path} is empty")
    client = {name: value for name, value in spec.client.items() if name != "secret_file"}
    return spec.model_copy(update={"client": client}), secret


def _ask_for_secret(user: str | bool) -> str:
    try:
        secret = getpass.getpass(f"secret of {user}: ")
    except EOFError:
        secret = ""
    if not secret or not secret.isprintable():
        raise Misconfigured("the secret that was typed in is empty or not printable")
    return secret


def _hook(words: list[str]) -> tuple[str, ...]:
    """The hook with an absolute path; a program without a slash is looked up at each run."""
    return tuple(str(Path(word).absolute()) if "/" in word else word for word in words[:1]) + tuple(
        words[1:]
    )


def _refuse_shared_directory(state: StateDirectory, name: str, directory: Path) -> None:
    """Raise Misconfigured if another tracked certificate uses the directory."""
    for other in state.names():
        other_directory = None
        with contextlib.suppress(AnchorError):
            other_directory = state.read(other).spec.directory
        if other != name and other_directory == directory:
            raise Misconfigured(f"{directory} belongs to {other!r}")

"""``anchor renew``: renew the certificates that are due."""

from __future__ import annotations

import argparse
import sys

from anchor.cli import client_options
from anchor.cli.output import number_of
from anchor.client.daemon import Daemon
from anchor.client.outcome import Outcome, Result, format_time


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Renew the tracked certificates that are due, and run their hooks. Exits with "
        "0 if nothing is left to do, 1 if a certificate could not be renewed, 3 if only a hook "
        "failed, 75 if the service was not available and there is time to try again."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="default: all tracked certificates"
    )
    parser.add_argument(
        "--force", action="store_true", help="renew certificates that are not due, too"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only print what would be renewed now"
    )
    parser.add_argument("--daemon", action="store_true", help="keep running and renew what is due")
    client_options.add_state_option(parser)
    client_options.add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(namespace: argparse.Namespace) -> int:
    """Renew once, or run as a daemon."""
    if namespace.daemon:
        if namespace.names or namespace.force or namespace.dry_run:
            namespace.parser.error("--daemon takes no names, and neither --force nor --dry-run")
        return _run_daemon(namespace)
    renewer = client_options.renewer(namespace)
    if not namespace.dry_run:
        renewer.state.sweep()
    outcomes = [
        renewer.renew(name, force=namespace.force, back_off=False, dry_run=namespace.dry_run)
        for name in namespace.names or renewer.state.names()
    ]
    for outcome in outcomes:
        if outcome.result is not Result.NOT_DUE or namespace.names:
            client_options.print_outcome(outcome, namespace)
    if namespace.json:
        client_options.print_json([client_options.as_json(outcome) for outcome in outcomes])
    elif not namespace.quiet and all(each.result is Result.NOT_DUE for each in outcomes):
        print(_nothing_due(outcomes))
    codes = [client_options.exit_code(outcome) for outcome in outcomes]
    order = (client_options.FAILED, client_options.HOOK_FAILED, client_options.UNAVAILABLE)
    return next((code for code in order if code in codes), 0)


def _nothing_due(outcomes: list[Outcome]) -> str:
    renewals = [(outcome.renews, outcome.name) for outcome in outcomes if outcome.renews]
    if not renewals:
        return "nothing is tracked: see `anchor request`"
    first, name = min(renewals)
    return f"nothing is due; the next is {name}, from {format_time(first)}"


def _run_daemon(namespace: argparse.Namespace) -> int:
    def report(outcome: Outcome) -> None:
        client_options.print_outcome(outcome, namespace)
        if namespace.json:
            client_options.print_json(client_options.as_json(outcome))

    def complain(line: str) -> None:
        print(f"anchor: {line}", file=sys.stderr, flush=True)

    renewer = client_options.renewer(namespace)
    # This also ends the daemon at its start if another user could change the state.
    renewer.state.sweep()
    count = len(renewer.state.names())

    def announce() -> None:
        if namespace.quiet or namespace.json:
            return
        tracked = number_of(count, "certificate")
        print(f"keeping {tracked} renewed, tracked in {renewer.state.path}", flush=True)

    Daemon(renewer, report, complain).run(announce)
    return 0

"""The parser of command lines: argparse with suggestions, examples and defaults.

Python 3.14 has ``suggest_on_error``; older versions, and unknown options, need this class.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from anchor.errors import AnchorError

# Longer lines are hard to read.
_MAX_WIDTH = 100
# A negative number is a value.
_OPTION = re.compile("--|-[A-Za-z]")


class CommandLineError(AnchorError):
    """The command line is not valid, which only the command itself can tell."""

    exit_status = 2


class HelpFormatter(argparse.HelpFormatter):
    """Formats help with every default, and with examples line by line."""

    def __init__(self, prog: str, **keywords: Any):
        columns = shutil.get_terminal_size().columns
        super().__init__(prog, width=min(columns, _MAX_WIDTH) - 2, **keywords)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        plain = isinstance(action.default, str | int | float) and not isinstance(
            action.default, bool
        )
        if (
            text
            and plain
            and action.default not in ("", argparse.SUPPRESS)
            and "default" not in text
        ):
            return f"{text}; default: %(default)s"
        return text

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Only examples have several lines.
        if "\n" in text:
            return "\n".join(f"{indent}{line}".rstrip() for line in text.splitlines())
        return super()._fill_text(text, width, indent)


class CommandParser(argparse.ArgumentParser):
    """A parser that suggests names, and prints the usage of the command that was typed."""

    def __init__(self, **keywords: Any):
        super().__init__(**({"formatter_class": HelpFormatter} | keywords))

    def format_help(self) -> str:
        """The help, with the examples of the command."""
        # Only the help needs them.
        from anchor.cli.examples import epilog  # noqa: PLC0415

        self.epilog = epilog(self.prog)
        return super().format_help()

    def parse_known_args(  # type: ignore[override]  # argparse has overloads for namespaces
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the arguments; unknown ones are errors of this parser."""
        # argparse would first ask for the required option that was mistyped.
        for option in self._unknown_options(args or ()):
            self._refuse(option)
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest[0])
        return parsed, []

    def error(self, message: str) -> Any:
        """Print the usage and the message, and exit with 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")

    def _unknown_options(self, words: Sequence[str]) -> Iterator[str]:
        """The words that look like options of this command, and are none."""
        known = self._option_string_actions
        commands = self._commands()
        names = commands.choices or () if commands else ()
        for word in words:
            # The options after a command are its options.
            if word == "--" or word in names:
                return
            name = word.partition("=")[0]
            # argparse takes a word with a space for a value.
            if " " in word or not _OPTION.match(name):
                continue
            if not name.startswith("--"):
                name = name[:2]
            if not any(option.startswith(name) for option in known):
                yield name

    def _commands(self) -> argparse.Action | None:
        """The argument that names a command of this command, if it has any."""
        return next((a for a in self._actions if isinstance(a, argparse._SubParsersAction)), None)

    def _refuse(self, word: str) -> None:
        from anchor.config.suggestions import did_you_mean  # noqa: PLC0415

        if not word.startswith("-"):
            self.error(f"unexpected argument {word!a}")
        name = word.partition("=")[0]
        hint = did_you_mean(name, self._option_string_actions)
        commands = self._commands()
        if not hint and commands and commands.required:
            hint = ": write a command's options after its name"
        self.error(f"unknown option {name}{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        from anchor.config.suggestions import did_you_mean  # noqa: PLC0415

        choices = [str(choice) for choice in action.choices]
        suggestion = did_you_mean(str(value), choices)
        if isinstance(action, argparse._SubParsersAction):
            hint = suggestion or f": `{self.prog} --help` lists them"
            self.error(f"unknown command {value!a}{hint}")
        hint = suggestion or f": choose from {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"invalid choice {value!a}{hint}")

"""The template of a search filter (RFC 4515) for any user name."""

from __future__ import annotations

import re

# A filter's innermost parentheses: values have theirs escaped.
_ITEM = re.compile(r"\(([^()]*)\)")
# The attribute, and the operator: equality is "=", also of a substring.
_PARTS = re.compile(r"\s*([^=<>~:()]*)((?::[^=]*|[<>~])?=)(.*)", re.DOTALL)


def match_any_user(template: str) -> str:
    """The filter that matches an entry if the template does for some user name.

    ``(mail={user}@example.com)`` becomes ``(mail=*@example.com)``.  An extensible match, such as
    ``(uid:caseExactMatch:={user})``, has no wildcard, so it becomes ``(uid=*)``: the entry has to
    have the attribute.

    Args:
        template: a valid filter, with ``{user}`` for the user name.
    """
    return _ITEM.sub(lambda match: _any_value(match[0], match[1]), template)


def _any_value(whole: str, item: str) -> str:
    parts = _PARTS.fullmatch(item)
    if "{user}" not in item or parts is None:
        return whole
    attribute, operator, value = parts.groups()
    attribute = attribute.strip()
    if operator == "=":
        return f"({attribute}={re.sub(r'[*]+', '*', value.strip().replace('{user}', '*'))})"
    # Without an attribute, an extensible match compares any; every entry has a class.
    return f"({attribute or 'objectClass'}=*)"

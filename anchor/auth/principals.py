"""Spellings of one user name, which count as one."""

from __future__ import annotations

import unicodedata

# Active Directory compares without regard to accents, and to the two kinds of Japanese syllables.
_LETTERS = str.maketrans(
    {
        "æ": "ae",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\u0131": "i",
        "ł": "l",
        "œ": "oe",
        "ø": "o",
        "ŧ": "t",
    }
    | {"þ": "th"}
    | {chr(katakana): chr(katakana - 0x60) for katakana in range(0x30A1, 0x30F7)}
)
# RFC 4518 2.2 maps these to nothing, and whatever is a control, a format character or a mark.
_NOTHING = frozenset("\u1806\ufffc\u115f\u1160\u3164")
_IGNORED = frozenset({"Cc", "Cf", "Mn", "Me"})


def key(name: str) -> str:
    """The same text for all names that a directory may take for the same user.

    This follows LDAP's caseIgnoreMatch (RFC 4518) and Active Directory.  Names of two users can
    have one key too: it is for counting, and never says who somebody is.
    """
    if name.isascii() and name.isprintable():
        return " ".join(name.casefold().split())
    text = " ".join(name.split())
    for _ in range(2):
        # Some characters have a case only after they are decomposed, and the other way round.
        text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(
        character
        for character in text
        if character not in _NOTHING and unicodedata.category(character) not in _IGNORED
    )
    return " ".join(text.translate(_LETTERS).split())

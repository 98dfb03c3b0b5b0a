"""One key for all spellings of a user name."""

from __future__ import annotations

import unicodedata

# Active Directory ignores accents, and treats hiragana and katakana as equal.
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
# RFC 4518 2.2 maps these to nothing, and also control characters, format characters and marks.
_NOTHING = frozenset("\u1806\ufffc\u115f\u1160\u3164")
_IGNORED = frozenset({"Cc", "Cf", "Mn", "Me"})


def counting_key(name: str) -> str:
    """A text that is the same for all spellings that a directory may accept for one user.

    This follows LDAP's caseIgnoreMatch (RFC 4518) and Active Directory.  Two users can have the
    same key, so it is for counting only, never for identification.
    """
    if name.isascii() and name.isprintable():
        return " ".join(name.casefold().split())
    text = " ".join(name.split())
    for _ in range(2):
        # Twice: decomposition can produce cased letters, and case folding composed ones.
        text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(
        character
        for character in text
        if character not in _NOTHING and unicodedata.category(character) not in _IGNORED
    )
    return " ".join(text.translate(_LETTERS).split())

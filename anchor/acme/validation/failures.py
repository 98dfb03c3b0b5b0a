"""Why the validation of a challenge failed."""

from __future__ import annotations

from anchor.acme.problems import AcmeProblem


class ChallengeFailed(AcmeProblem):
    """The client does not control the name, or does not show it; the text is for the client.

    No text has an address or something that a machine sent: a client must not learn from it what
    it cannot reach itself.
    """


class NoSuchName(ChallengeFailed):
    """The DNS says that there is no such name."""

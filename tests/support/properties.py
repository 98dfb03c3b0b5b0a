"""How many examples the tests of properties try: ``make check`` is content with a tenth."""

from __future__ import annotations

from hypothesis import settings

# The machine may be busy: no deadline.
settings.register_profile("test", deadline=None)
settings.load_profile("test")
# `make check` chooses it with --hypothesis-profile.
settings.register_profile("check", max_examples=10, deadline=None)
_USUAL = 100


def examples(count: int) -> int:
    """The number of examples in this run.

    Args:
        count: their number in ``make test``.
    """
    return max(1, count * settings.default.max_examples // _USUAL)

"""A ban is in force in every worker process of uwsgi."""

from __future__ import annotations

import subprocess
import time

from tests.support.machine import ANCHOR
from tests.support.pki import make_csr


def test_a_ban_is_in_force_for_the_next_request_in_every_worker_process(
    workers, document, tmp_path
):
    server = workers(document)
    csr = make_csr("www.example.com", "www.example.com")
    config = ["--config", str(tmp_path / "config.json")]

    def ask_all():
        """Send requests until every worker has responded to one."""
        statuses, asked = set(), server.log_size()
        deadline = time.monotonic() + 120
        while len(server.answering(since=asked)) < 4:
            assert time.monotonic() < deadline
            statuses |= {server.sign(csr)[0] for _ in range(8)}
        return statuses

    for _ in range(3):
        assert ask_all() == {200}
        subprocess.run(
            [ANCHOR, "ban", "name", "www.example.com", *config],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        assert ask_all() == {400}
        subprocess.run(
            [ANCHOR, "unban", "name", "www.example.com", *config],
            check=True,
            stdout=subprocess.DEVNULL,
        )

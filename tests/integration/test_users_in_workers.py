"""A change of the users file is in force in every worker process of uwsgi."""

from __future__ import annotations

import subprocess
import time

from tests.support.machine import ANCHOR
from tests.support.pki import make_csr
from tests.support.users import user_line, write_users


def test_a_change_of_the_users_file_is_in_force_for_the_next_request_in_every_worker_process(
    workers, document, tmp_path
):
    alice = user_line("alice", "s3cret")
    path = write_users(tmp_path / "users.jsonl", alice)
    document["authentication"]["static"] = {"backend": "static", "users_file": path.name}
    unlimited = {"max_failures": 0, "max_address_failures": 0}
    document["registration_authority"]["default"] |= unlimited
    server = workers(document)
    csr = make_csr()

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
            [ANCHOR, "user", "remove", "alice", "--file", path],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        assert ask_all() == {401}
        write_users(path, alice, "{")
        assert ask_all() == {503}
        write_users(path, alice)

    logged = server.log.read_text()
    assert logged.count("authenticate until it is corrected") == 3 * 4, "once in each worker"
    assert "users.jsonl, line 2: is not JSON" in logged

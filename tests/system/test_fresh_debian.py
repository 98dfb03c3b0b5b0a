"""The machine on which how-to pages and packages are tried: systemd runs, and layers add up."""

from __future__ import annotations

import http.server
import threading

from tests.support.servers.fresh_debian import fresh_debian


def test_a_machine_runs_units_and_is_a_layer_of_the_next_one(tmp_path):
    with fresh_debian(tmp_path / "first") as first:
        assert "running\n" == first.run("systemctl is-system-running")
        first.run("systemd-run --unit=greeter --wait sh -c 'echo hello >/srv/greeting'")
        assert "Started greeter.service" in first.run("journalctl -u greeter")
    with fresh_debian(tmp_path / "second", first.changes) as second:
        assert "hello\n" == second.run("cat /srv/greeting")
        (second.root / "srv/greeting").write_text("good bye\n")

    assert "hello\n" == (first.changes / "srv/greeting").read_text()


def test_a_machine_does_not_reach_the_loopback_interface_of_this_one(debian):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask = "exec 3<>/dev/tcp/{}/" + str(server.server_port)

    machine = debian()
    for address in ("127.0.0.1", "10.0.2.2"):
        machine.run(ask.format(address), code=1)
    server.shutdown()
    server.server_close()

"""The machine on which how-to pages and packages are tried."""

from __future__ import annotations

import http.server
import threading


def test_a_machine_does_not_reach_the_loopback_interface_of_this_one(debian):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask = "exec 3<>/dev/tcp/{}/" + str(server.server_port)

    machine = debian()
    for address in ("127.0.0.1", "10.0.2.2"):
        machine.run(ask.format(address), code=1)
    server.shutdown()
    server.server_close()

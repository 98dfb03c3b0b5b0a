"""pebble-challtestsrv: a DNS server, and servers for challenges, which a test tells what to say."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from dataclasses import dataclass

from anchor.acme.settings import ResolverAddress
from tests.support.servers.processes import program, running

_DNS_PORT, _MANAGEMENT_PORT = 53, 8055


@dataclass(frozen=True)
class ChallengeServers:
    """The running servers; names have no addresses until a test gives them some.

    Attributes:
        node: the node on which they run.
    """

    node: object

    @property
    def resolver(self):
        """The address of the DNS server."""
        return ResolverAddress(self.node.address, _DNS_PORT)

    def set_addresses(self, name, *addresses):
        """Give a name these addresses."""
        for kind, colon in (("a", False), ("aaaa", True)):
            some = [address for address in addresses if (":" in address) is colon]
            self._tell(f"clear-{kind}", host=_dotted(name))
            if some:
                self._tell(f"add-{kind}", host=_dotted(name), addresses=some)

    def set_alias(self, name, target):
        """Make a name an alias of another one (CNAME)."""
        self._tell("set-cname", host=_dotted(name), target=_dotted(target))

    def set_text(self, name, value):
        """Add a TXT record."""
        self._tell("set-txt", host=_dotted(name), value=value)

    def set_caa(self, name, *policies):
        """Set CAA records, each a pair of a tag and a value."""
        policies = [{"tag": tag, "value": value} for tag, value in policies]
        self._tell("add-caa", host=_dotted(name), policies=policies)

    def set_servfail(self, name):
        """Let each lookup of a name fail."""
        self._tell("set-servfail", host=_dotted(name))

    def set_http(self, token, content):
        """Serve the response to the challenge http-01."""
        self._tell("add-http01", token=token, content=content)

    def set_tls(self, host, content):
        """Serve the certificate of the challenge tls-alpn-01 for a key authorization."""
        self._tell("add-tlsalpn01", host=host, content=content)

    def url(self, command):
        """The URL to which the members of a command are posted, as JSON."""
        return f"http://{self.node.address}:{_MANAGEMENT_PORT}/{command}"

    def _tell(self, command, **members):
        url = self.url(command)
        with self.node.entered(), _OPENER.open(url, json.dumps(members).encode(), timeout=10):
            pass


@contextlib.contextmanager
def challenge_servers(node, directory):
    """Run pebble-challtestsrv on a node until the end of the block."""
    address = node.address
    arguments = [program("pebble-challtestsrv", "pebble"), "-defaultIPv4", "", "-defaultIPv6", ""]
    arguments += ["-dns01", f"{address}:{_DNS_PORT}", "-http01", f"{address}:80", "-https01", ""]
    arguments += ["-tlsalpn01", f"{address}:443", "-management", f"{address}:{_MANAGEMENT_PORT}"]
    servers = ChallengeServers(node)

    def ready():
        with contextlib.suppress(OSError):
            servers.set_addresses("ready.example.com")
            return True
        return False

    log = directory / "challtestsrv.log"
    with running([*node.command, *arguments], log=log, ready=ready):
        yield servers


# Without the proxies in the environment.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _dotted(name):
    return f"{name}."

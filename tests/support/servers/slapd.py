"""OpenLDAP's slapd, with LDAPS and StartTLS, users, groups, and unusual entries."""

from __future__ import annotations

import contextlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ldap3
import pytest

from tests.support.pki import make_ca
from tests.support.servers.certificates import make_server_certificate
from tests.support.servers.processes import free_port, listens, program, running

SUFFIX = "dc=example,dc=com"
ADMIN = f"cn=admin,{SUFFIX}"
PASSWORDS = {"alice": "alice-secret", "bob": "bob-secret", "carol": "carol-secret"}

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
moduleload back_monitor
pidfile {directory}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database monitor
access to * by * read
database mdb
maxsize 33554432
suffix "{suffix}"
rootdn "{admin}"
rootpw adminpw
directory {directory}/db
overlay memberof
overlay ppolicy
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous none
"""

_ENTRIES = """
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: ou=elsewhere,dc=example,dc=com
objectClass: organizationalUnit
ou: elsewhere

dn: ou=services,dc=example,dc=com
objectClass: organizationalUnit
ou: services

dn: cn=anchor,ou=services,dc=example,dc=com
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: anchor
userPassword: service-secret

dn: uid=alice,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: A
mail: alice@example.com
userPassword: alice-secret

dn: uid=bob,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
mail: bob@example.com
userPassword: bob-secret

dn: uid=carol,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: carol
cn: Carol
sn: C
mail: shared@example.com
userPassword: carol-secret

dn: uid=dave,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: dave
cn: Dave
sn: D
mail: shared@example.com

dn: uid=two,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: two
uid: names
cn: Two
sn: Two
userPassword: two-secret

dn: uid=odd\\,name\\+x=y,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: odd,name+x=y
cn: Odd
sn: O
userPassword: odd-secret

dn: ou=other,ou=people,dc=example,dc=com
objectClass: referral
objectClass: extensibleObject
ou: other
ref: ldap://127.0.0.1:1/ou=people,dc=example,dc=org

dn: cn=Nova,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: Nova
member: uid=alice,ou=people,dc=example,dc=com
member: uid=odd\\,name\\+x=y,ou=people,dc=example,dc=com

dn: cn=Odd\\, \\+ends,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: Odd, +ends
member: uid=alice,ou=people,dc=example,dc=com

dn: cn=Swift,ou=elsewhere,dc=example,dc=com
objectClass: groupOfNames
cn: Swift
member: uid=alice,ou=people,dc=example,dc=com
"""


@dataclass(frozen=True)
class Slapd:
    """A running slapd."""

    port: int
    tls_port: int
    ca_file: Path
    log: Path
    process: subprocess.Popen

    def operations(self, kind):
        """The number of completed operations of this kind."""
        search = [program("ldapsearch", "ldap-utils"), "-x", "-LLL", "-s", "base"]
        search += ["-H", f"ldap://127.0.0.1:{self.port}/"]
        search += ["-b", f"cn={kind},cn=Operations,cn=Monitor", "monitorOpCompleted"]
        found = subprocess.run(search, check=True, capture_output=True)
        return int(re.search(rb"monitorOpCompleted: (\d+)", found.stdout)[1])

    @contextlib.contextmanager
    def administration(self):
        """A connection of the administrator, by ldap3."""
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        with ldap3.Connection(server, ADMIN, "adminpw", raise_exceptions=True) as connection:
            yield connection

    def add_user(self, user, **attributes):
        """Add a user with the password ``secret``, and return the DN."""
        dn = f"uid={user},ou=people,{SUFFIX}"
        values = {"cn": user, "sn": user, "userPassword": "secret", **attributes}
        with self.administration() as connection:
            connection.add(dn, "inetOrgPerson", values)
        return dn

    def add_password_policy(self, name):
        """Add a password policy, and return the DN."""
        dn = f"cn={name},{SUFFIX}"
        with self.administration() as connection:
            connection.add(dn, ["device", "pwdPolicy"], {"pwdAttribute": "userPassword"})
        return dn

    def options(self, **changes):
        """Options for LDAPS with a service account; options that are None are left out."""
        options = {
            "backend": "ldap",
            "host": "localhost",
            "port": self.tls_port,
            "base": f"ou=people,{SUFFIX}",
            "ca_file": str(self.ca_file),
            "service_dn": f"cn=anchor,ou=services,{SUFFIX}",
            "service_secret": "service-secret",
        } | changes
        return {name: value for name, value in options.items() if value is not None}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    """OpenLDAP with users and groups, which only authenticated users can read."""
    directory = tmp_path_factory.mktemp("slapd")
    ldapadd = program("ldapadd", "ldap-utils")
    ca = make_ca(directory, name="directory-ca")
    certificate, key = make_server_certificate(directory, ca, "localhost", "127.0.0.1")
    (directory / "db").mkdir()
    configuration = directory / "slapd.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            directory=directory,
            ca=ca.cert_path,
            certificate=certificate,
            key=key,
            suffix=SUFFIX,
            admin=ADMIN,
        )
    )
    port, tls_port = free_port(), free_port()
    plain = f"ldap://127.0.0.1:{port}/"
    command = [program("slapd", "slapd"), "-d", "0", "-f", str(configuration)]
    command += ["-h", f"{plain} ldaps://127.0.0.1:{tls_port}/"]
    log = directory / "slapd.log"
    with running(command, log=log, ready=lambda: listens(tls_port)) as process:
        added = subprocess.run(
            # -M: add the referral as an entry.  Entries that are loaded offline would not get
            # memberOf.
            [ldapadd, "-x", "-M", "-H", plain, "-D", ADMIN, "-w", "adminpw"],
            input=_ENTRIES.encode(),
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert added.returncode == 0, added.stderr.decode()
        yield Slapd(port, tls_port, ca.cert_path, log, process)

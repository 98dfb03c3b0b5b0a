"""The examples in the help of each command."""

from __future__ import annotations

_EXAMPLES = {
    "": ("anchor init my-anchor", "anchor help token create"),
    "serve": ("anchor serve", "anchor serve --host 127.0.0.1 --port 8016"),
    "init": ("anchor init my-anchor --user web1", "anchor init --intermediate --name 'Example CA'"),
    "check": ("anchor check config.json", "anchor check --fail-on warning --format json"),
    "schema": ("anchor schema",),
    "explain": (
        "anchor explain www.csr",
        "anchor explain --user web1 --from 192.0.2.1 www.csr",
        "anchor explain --acme https://pki.example.com/acme/default/order/4ZbfgJQq",
    ),
    "test-policy": ("anchor test-policy policy-tests.json",),
    "request": (
        "anchor request www.example.com",
        "anchor request www.example.com --hook 'systemctl reload nginx'",
        "anchor request web1.example.com --url https://pki.example.com --token-file token.json",
    ),
    "renew": ("anchor renew", "anchor renew --force www.example.com"),
    "list": ("anchor list", "anchor list --json"),
    "forget": ("anchor forget www.example.com",),
    "user": ("anchor user add web1 --group web", "anchor user list"),
    "user add": (
        "anchor user add web1 --group web --name web1.example.com",
        "anchor user add web1 --secret-file secret",
    ),
    "user set-secret": (
        "anchor user set-secret web1 --keep-old",
        "anchor user set-secret web1 --drop-old",
    ),
    "user remove": ("anchor user remove web1",),
    "user list": ("anchor user list --json",),
    "certs": (
        "anchor certs --for www.example.com",
        "anchor certs --expiring 12h --json",
        "anchor certs --prune --older-than 30",
    ),
    "certs show": ("anchor certs show 3f8a91c2 --pem",),
    "certs import": ("anchor certs import /var/lib/anchor/certs",),
    "ban": (
        "anchor ban",
        "anchor ban name www.example.com --hours 48 --reason 'key was stolen'",
    ),
    "unban": ("anchor unban name www.example.com",),
    "token": ("anchor token create --authority default --requester web1", "anchor token list"),
    "token create": (
        "anchor token create --authority default --requester web1 --name web1.example.com",
        "anchor token create --authority default --requester web1 --expires 7d --output token.json",
    ),
    "token list": ("anchor token list --usable",),
    "token revoke": ("anchor token revoke tk_dvh5fgljlkpmdpqu",),
    "acme": ("anchor acme clients",),
    "acme clients": ("anchor acme clients --early", "anchor acme clients --authority default"),
    "audit": ("anchor audit verify",),
    "audit init": ("anchor audit init /etc/anchor/audit.key",),
    "audit verify": (
        "anchor audit verify",
        "anchor audit verify --key audit.key.pub --checkpoint anchor.log audit.jsonl",
    ),
    "audit checkpoint": ("anchor audit checkpoint",),
    "database": ("anchor database info",),
    "database info": ("anchor database info --json",),
    "database upgrade": ("anchor database upgrade",),
    "database copy": ("anchor database copy postgresql://anchor@db.example.com/anchor",),
    "database backup": ("anchor database backup anchor-backup.db",),
    "database check": ("anchor database check",),
    "docs": ("anchor docs", "anchor docs howto/hsm", "anchor docs --open served-without-tls"),
    "help": ("anchor help", "anchor help token create"),
    "version": ("anchor version",),
}


def examples(prog: str) -> tuple[str, ...]:
    """The examples of a command.

    Args:
        prog: the command with ``anchor``, such as ``anchor token create``.
    """
    return _EXAMPLES[prog.removeprefix("anchor").strip()]


def epilog(prog: str) -> str:
    """The examples of a command, below its options in the help."""
    found = examples(prog)
    title = "example" if len(found) == 1 else "examples"
    return "\n".join([f"{title}:", *(f"  {example}" for example in found)])

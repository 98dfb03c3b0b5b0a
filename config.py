"""Settings of the web server and of logging.  CA, policy and audit log are in config.json."""

# The address for `pecan serve config.py` and `anchor serve`; other servers have their own options.
server = {"host": "127.0.0.1", "port": "5016"}

app = {"modules": ["anchor"]}

web = {
    "max_body_bytes": 65536,
    "body_seconds": 10,
    # Networks of proxies.  Anchor accepts X-Forwarded-For, and the header that
    # client_certificate_header names, only from these.
    "trusted_proxies": [],
    # Networks of clients that may read /metrics.
    "metrics_networks": ["127.0.0.0/8", "::1"],
    # The public page GET /: "full", "short" (without the policies) or "off".
    "front_page": "full",
}

# The format is that of logging.config.dictConfig.  The logger `anchor.audit` gets the audit events.
logging = {
    "__force_dict__": True,  # Pecan keeps a plain dictionary: not all keys are Python names
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "anchor.logs.Text"},
        "json": {"()": "anchor.logs.JSON"},
    },
    "handlers": {
        # With the formatter "json", each line is a JSON object.
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
        # With "filename", the handler appends to that file.
        "audit": {"class": "anchor.logs.Lines"},
    },
    "loggers": {
        # It logs query strings, and clients put secrets there by mistake.
        "pecan.commands.serve": {"level": "ERROR"},
        "anchor.audit": {"level": "INFO", "handlers": ["audit"], "propagate": False},
    },
    "root": {"level": "INFO", "handlers": ["console"]},
}

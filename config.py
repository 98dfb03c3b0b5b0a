"""Values of Pecan and of the web service.  What the service does stands in config.json."""

# Where `pecan serve config.py` and `anchor serve` listen; uwsgi and others have their own options.
server = {"host": "127.0.0.1", "port": "5016"}

app = {"modules": ["anchor"]}

web = {
    "max_body_bytes": 65536,
    "body_seconds": 10,
    # The proxies, as networks, whose X-Forwarded-For header is believed.
    "trusted_proxies": [],
    # The clients, as networks, that may read /metrics.
    "metrics_networks": ["127.0.0.0/8", "::1"],
    # What GET / tells everyone: "full", "short", which leaves out the policies, or "off".
    "front_page": "full",
}

# As logging.config.dictConfig takes it.  The record of who got which certificate is `anchor.audit`.
logging = {
    "__force_dict__": True,  # for Pecan: a plain dictionary, whose keys are no Python names
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "anchor.logs.Text"},
        "json": {"()": "anchor.logs.JSON"},
    },
    "handlers": {
        # With "json" as its formatter each line is an object.
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
        # With "filename" it appends to a file.
        "audit": {"class": "anchor.logs.Lines"},
    },
    "loggers": {
        # Its request lines have query strings in them, and clients put secrets there by mistake.
        "pecan.commands.serve": {"level": "ERROR"},
        "anchor.audit": {"level": "INFO", "handlers": ["audit"], "propagate": False},
    },
    "root": {"level": "INFO", "handlers": ["console"]},
}

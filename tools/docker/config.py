"""The config.py of the image, with the proxy of compose.yaml added."""

with open("/opt/anchor/etc/anchor/config.py") as shipped:  # noqa: PTH123  # Pecan would read `Path` as a setting
    exec(shipped.read())

# The address of nginx only: users of the host connect from another one in the same network.
web["trusted_proxies"] = ["172.30.16.200"]  # noqa: F821  # defined by the config.py of the image
web["client_certificate_header"] = "X-Client-Cert"  # noqa: F821

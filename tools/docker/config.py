"""The values that came with the image, and the proxy of compose.yaml."""

with open("/opt/anchor/etc/anchor/config.py") as shipped:  # noqa: PTH123  # an import is a value
    exec(shipped.read())

web["trusted_proxies"] = ["172.30.16.0/24"]  # noqa: F821  # it is in what came with the image

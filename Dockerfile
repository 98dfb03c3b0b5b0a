# docker build -t anchor . && docker run -p 5016:5016 anchor
# doc/source/howto/docker.rst describes the volumes /config, /key, /certs and /var/lib/anchor.
FROM python:3.11.14-slim-bookworm AS build

WORKDIR /src
COPY setup.py setup.cfg pyproject.toml README.rst LICENSE config.py ./
COPY anchor anchor
RUN python3 -m venv /opt/anchor \
    && /opt/anchor/bin/python -m pip install --no-cache-dir ".[acme,oidc,postgresql]" "gunicorn >= 27" \
    # Nothing is installed later, so pip is not needed.
    && /opt/anchor/bin/python -m pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm

COPY --from=build /opt/anchor /opt/anchor
COPY --chmod=755 tools/docker/entrypoint /usr/local/bin/anchor-entrypoint
COPY config.json /srv/anchor/
# The sample configuration uses CA/ and certs/; the links lead to the volumes.  SQLite needs a directory that
# the service can write, so the sample gets another path for the database.
RUN groupadd --gid 10001 anchor \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/anchor --shell /usr/sbin/nologin anchor \
    && install -d -o anchor -g anchor -m 700 /key \
    && install -d -o anchor -g anchor -m 755 /certs \
    && install -d -o anchor -g anchor -m 700 /var/lib/anchor \
    && sed -i 's,sqlite:///anchor.db,sqlite:////var/lib/anchor/anchor.db,' /srv/anchor/config.json \
    && ln -s /key /srv/anchor/CA \
    && ln -s /certs /srv/anchor/certs
ENV PATH=/opt/anchor/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /srv/anchor
USER 10001:10001
VOLUME ["/key", "/certs", "/var/lib/anchor"]
EXPOSE 5016
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5016/readyz', timeout=4)"]
ENTRYPOINT ["anchor-entrypoint"]
CMD ["gunicorn", "--config=python:anchor.gunicorn", "--bind=0.0.0.0:5016", "--workers=2", "--threads=8", "--worker-tmp-dir=/dev/shm", "--no-control-socket", "anchor.wsgi:application"]

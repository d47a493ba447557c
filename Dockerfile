# Build: the locked wheels by hash, then ours, into one virtual environment.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/safehand
COPY requirements.lock ./
RUN /opt/safehand/bin/pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md ./
COPY server ./server
COPY bot ./bot
COPY templates ./templates
RUN /opt/safehand/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/safehand/bin/pip install --no-deps --no-index /wheel/safehand-*.whl \
    && /opt/safehand/bin/pip uninstall --yes hatchling editables pathspec pluggy tomlkit trove-classifiers

# Run: gnupg, the environment, and a user of its own that owns nothing but /data.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends gnupg gpg-agent openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 safehand \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin safehand \
    && install -d -m 0700 -o safehand -g safehand /data
COPY --from=build /opt/safehand /opt/safehand
ENV PATH=/opt/safehand/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SAFEHAND_DATA=/data \
    SAFEHAND_SFTP_HOST=0.0.0.0 \
    SAFEHAND_SFTP_PORT=2222 \
    SAFEHAND_WEB_HOST=0.0.0.0 \
    SAFEHAND_WEB_PORT=8080
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 2222 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["safehand", "doctor", "--health"]
CMD ["safehand", "serve"]

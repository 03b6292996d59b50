# One image for both programs: `config-center serve` (the default) and `device-gateway run`.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/config-center
COPY requirements.lock ./
RUN /opt/config-center/bin/pip install --no-cache-dir -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY client_sdk client_sdk
COPY config_center config_center
COPY device_gateway device_gateway
RUN /opt/config-center/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data config-center \
    && install -d -o config-center -g config-center -m 0750 /data
COPY --from=build /opt/config-center /opt/config-center
ENV PATH=/opt/config-center/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/data/state
USER config-center
WORKDIR /data
VOLUME /data
EXPOSE 8848 8000
# The center's own; a gateway overrides it (docker-compose.yml).
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8848/readyz', timeout=2)"]
# Plain HTTP beyond loopback is refused unless somebody says that TLS ends in front of it.
CMD ["config-center", "serve", "--listen", "0.0.0.0:8848", "--data", "/data", "--behind-proxy"]

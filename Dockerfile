# docker build -t kbroker . && docker run -p 9092:9092 -v kbroker:/var/lib/kbroker kbroker
#
# Clients on this machine dial localhost:9092 and are told localhost:9092. For clients in other containers: compose.yaml.
FROM python:3.13-slim AS build
# With a compiler the path of a record is compiled (docs/decisions/0011).
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN python -m venv /opt/kbroker && /opt/kbroker/bin/pip install --no-cache-dir /src

FROM python:3.13-slim
COPY --from=build /opt/kbroker /opt/kbroker
RUN useradd --system --user-group --home-dir /var/lib/kbroker --create-home kbroker && chmod 0700 /var/lib/kbroker
ENV PATH=/opt/kbroker/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER kbroker
WORKDIR /var/lib/kbroker
VOLUME /var/lib/kbroker
EXPOSE 9092
# In order: logs flushed, a clean shutdown marked.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
    CMD ["kbroker", "status", "--wait", "0", "--data-dir", "/var/lib/kbroker"]
ENTRYPOINT ["kbroker"]
CMD ["start", "--override", "log.dirs=/var/lib/kbroker", "--override", "listeners=PLAINTEXT://:9092", "--override", "advertised.listeners=PLAINTEXT://localhost:9092"]

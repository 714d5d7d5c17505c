# One image for the worker and for Flower; compose.yaml says which of them a container is.
FROM python:3.13.14-slim AS build
RUN python -m venv /opt/history-sink
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY producer producer
COPY worker worker
RUN /opt/history-sink/bin/pip install --no-cache-dir --constraint constraints.txt '.[worker,flower,search]'

FROM python:3.13.14-slim
# A number, so that Kubernetes' runAsNonRoot can tell that it is not root.
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin history-sink && \
    # A volume takes its owner from here: Flower's state, and a search worker's index.
    install --directory --owner=10001 --mode=0700 /var/lib/flower /var/lib/history-sink-search
COPY --from=build /opt/history-sink /opt/history-sink
ENV PATH=/opt/history-sink/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CODETETHER_HISTORY_HTTP_ADDRESS=0.0.0.0:9808
USER 10001
WORKDIR /tmp
# Whether it is live. One that waits for its store or its broker is well: to start it anew would not help.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 CMD history-sink-worker health
CMD ["history-sink-worker", "run", "-P", "threads", "--concurrency", "8"]

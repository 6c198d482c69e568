# docker build -t refrain . && docker run -p 8000:8000 -v refrain:/data refrain
FROM python:3.13-slim AS build
WORKDIR /src
COPY constraints.txt pyproject.toml README.md ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r constraints.txt
COPY app app
COPY cache cache
COPY providers providers
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data refrain && install -d -o refrain -g refrain /data
COPY --from=build /venv /venv
USER refrain
WORKDIR /data
VOLUME /data
# Whoever reaches the published port may speak. Elsewhere than at home: REFRAIN_AUTH__MODE=keys.
ENV REFRAIN_AUTH__MODE=open
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 REFRAIN_SERVER__HOST=0.0.0.0 REFRAIN_REDIS__DATA_DIR=/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["refrain", "serve"]

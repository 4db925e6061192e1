# The server and the proxy before it. compose.yaml starts both.
FROM python:3.11.17-slim-trixie AS app

# torch as it is built for CPUs: the build on PyPI brings several GB of CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /app
COPY requirements.txt requirements.lock ./
# The lock file names every package, so that nothing but what it names is installed.
RUN grep '^torch==' requirements.txt > torch.txt \
    && pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" -r torch.txt \
    && pip install --no-cache-dir --no-deps -r requirements.lock \
    && pip check

COPY . .
# The program stays root's and can be read only; what is written goes into /data.
RUN chmod -R a+rX . \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data lens \
    && install -d -o lens -g lens /data

# A server on the net: visitors fetch no models and open no folders unless the operator says so.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    HF_HOME=/data/huggingface \
    BACKWARD_LENS_MODELS=/data/models \
    BACKWARD_LENS_CACHE=/data/cache \
    BACKWARD_LENS_DOWNLOADS=off \
    BACKWARD_LENS_FOLDERS="" \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501

USER 10001:10001
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "scripts/healthy.py"]
CMD ["sh", "scripts/serve.sh"]


FROM caddy:2.11.7-alpine AS proxy

COPY deploy/Caddyfile /etc/caddy/Caddyfile
# In a container every port is free to all users. A program with a capability of its own would not
# start where all are dropped, as compose.yaml does.
RUN setcap -r /usr/bin/caddy \
    && chmod a+r /etc/caddy/Caddyfile \
    && install -d -o 10002 -g 10002 /certificates
ENV XDG_DATA_HOME=/certificates

USER 10002:10002

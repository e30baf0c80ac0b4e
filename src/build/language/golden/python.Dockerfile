FROM python:3.13-slim as base
ENV PYTHONUNBUFFERED 1
ENV PATH="/venv/bin:$PATH" PIP_NO_CACHE_DIR=off

FROM base as wheels
ARG EXTRA
ARG INDEX=${EXTRA:+"--extra-index-url $EXTRA"}
RUN python -m venv /venv
COPY requirements.txt /tmp/
RUN --mount=type=cache,id=pip,target=/root/.cache/pip,sharing=locked \
    pip install $INDEX -r /tmp/requirements.txt

FROM base
SHELL ["/bin/bash", "-euxo", "pipefail", "-c"]
RUN groupadd -r app && useradd -r -g app app
WORKDIR /app
WORKDIR src/../pkg
COPY --from=wheels --chown=app:app --chmod=755 /venv /venv
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.org/files/model.bin /models/
ADD https://example.org/tools/thing.git?branch=main&subdir=lib#  /opt/thing
VOLUME /data /var/log/app
STOPSIGNAL SIGINT
CMD exec gunicorn --bind :$PORT app:app

# zraft-chaos:latest, for the profile `chaos` of compose.yaml: zraft's own `verify`, and what strikes containers.
# `make docker-build` makes it, after the image of the nodes and of wheels that are there.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
COPY dist/image /wheels
RUN python3 -m venv /opt/pip \
    && /opt/pip/bin/pip install --no-cache-dir --no-index --find-links /wheels --target /opt/chaos docker

FROM zraft:latest
COPY --from=build /opt/chaos /opt/chaos
COPY tools/compose_nemesis.py /opt/chaos/
ENV PYTHONPATH=/opt/chaos
# The engine's socket is root's, and whoever may write to it is.
USER 0:0
# Not that of a node.
HEALTHCHECK NONE
ENTRYPOINT ["dumb-init", "--single-child", "--", "python3", "/opt/chaos/compose_nemesis.py"]
CMD []

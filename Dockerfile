# Three stages: base has what runs, build makes the virtual environment, release joins them.
#
# The image runs under any user id with group 0, on a read-only root; it writes below /tmp only.
# Give BASE_IMAGE with its registry, and pinned by digest, for builds that can be repeated.
ARG BASE_IMAGE=ubi9/ubi-minimal:latest

FROM ${BASE_IMAGE} AS base
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1 PATH=/opt/cloudigrade/.venv/bin:${PATH}
WORKDIR /opt/cloudigrade
# Probes call ps, pgrep and grep. Versions of packages are the base image's business.
# hadolint ignore=DL3041
RUN microdnf install -y --nodocs --setopt=install_weak_deps=0 \
      bash grep procps-ng python3.12 which \
 && microdnf clean all

FROM base AS build
# hadolint ignore=DL3041
RUN microdnf install -y --nodocs --setopt=install_weak_deps=0 python3.12-pip \
 && microdnf clean all
COPY requirements-release.lock ./
RUN python3.12 -m venv --without-pip .venv \
 && python3.12 -m pip --python .venv/bin/python install --no-cache-dir --only-binary :all: \
      --require-hashes -r requirements-release.lock
COPY LICENSE manage.py ./
COPY api api
COPY cloudigrade cloudigrade
COPY util util
# Nothing can be written when it runs, compiled modules neither.
RUN .venv/bin/python -m compileall -q api cloudigrade util
COPY deployment/scripts scripts
RUN rm requirements-release.lock && chmod -R g=rX,o=rX . && chmod 755 scripts/*

FROM base AS release
# The commit that the image is of; sysconfig shows it where no IMAGE_TAG is given.
ARG VERSION=""
LABEL org.opencontainers.image.version="${VERSION}"
ENV PYTHONDONTWRITEBYTECODE=1 CLOUDIGRADE_VERSION="${VERSION}"
COPY --from=build /opt/cloudigrade ./
USER 1001:0
EXPOSE 8000
ENTRYPOINT ["gunicorn"]
CMD ["-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"]

# SPDX-License-Identifier: Apache-2.0
# The wheel that envoy/Dockerfile's stage `package` built, in a Debian that has no compiler, with what
# our tests need. The tests themselves are put into the container.
ARG BASE
ARG PACKAGE
ARG IMAGE
FROM ${PACKAGE} AS package
FROM ${IMAGE} AS image

FROM ${BASE}
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 python3-venv \
  && apt-get install -y --no-install-recommends "lib$(readlink /usr/bin/python3)"
COPY requirements.txt /
RUN python3 -m venv /venv \
  && /venv/bin/pip install -q --no-cache-dir --only-binary :all: -r /requirements.txt
ARG ENVOY
COPY --from=image /opt/envoy /src/.envoy/${ENVOY}
COPY --from=package /wheels /wheels
RUN /venv/bin/pip install -q --no-cache-dir --no-index /wheels/*.whl
WORKDIR /src
CMD ["sleep", "infinity"]

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
COPY --from=package /wheels /wheels
RUN python3 -m venv /venv \
  && /venv/bin/pip install -q --no-cache-dir --only-binary :all: "$(echo /wheels/*.whl)[test]"
COPY --from=image /opt/envoy /src/.envoy/1.40.0
WORKDIR /src
CMD ["sleep", "infinity"]

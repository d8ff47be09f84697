# unsee with its environment: docs/install.md says how to build and use it.
FROM python:3.11-slim-bookworm

# git: each result's manifest records the commit.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

# For the CPU build of torch: --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_NO_CACHE_DIR=1

WORKDIR /unsee
COPY . .
RUN python3 tools/environment.py

CMD ["make", "table"]

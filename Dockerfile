# Sluice with its C compiler. Run it in a folder with your data:
#   docker build -t sluice .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" sluice train model=lstm task=imdb
# With a GPU: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t sluice . and --gpus all
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
COPY conf conf
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.13-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# hadolint ignore=DL3013
RUN pip install --no-cache-dir "torch>=2.13,<3" --index-url "$TORCH_INDEX"
COPY --from=build /dist /dist
RUN pip install --no-cache-dir /dist/*.whl && rm -r /dist
# Folders that any user can write to, for the compiled kernels and matplotlib
ENV HOME=/tmp
WORKDIR /work
RUN useradd --uid 1000 sluice
USER 1000
ENTRYPOINT ["sluice"]
CMD ["--help"]

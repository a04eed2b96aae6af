# The studio, the preview and the command line on a CPU. In the checkout:
#   docker build -t reactive .
#   docker run --rm -p 127.0.0.1:7374:7374 -p 127.0.0.1:7375:7375 -v "$PWD/clips:/clips" reactive
# Another command: docker run --rm -v "$PWD:/clips" reactive run song.wav --preset loop-destroy
FROM python:3.12-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /source
# PyTorch's own index has a build without CUDA, which is a tenth of the size; the range is that of pyproject.toml
RUN python -m venv /opt/reactive && /opt/reactive/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.13,<2.14"
COPY pyproject.toml README.md LICENSE ./
COPY presets ./presets
COPY reactive ./reactive
RUN /opt/reactive/bin/pip install --no-cache-dir ".[preview,osc,exchange]"

FROM python:3.12-slim-bookworm
COPY --from=build /opt/reactive /opt/reactive
# not root; /clips is the only folder that it has to write, besides caches in its home
RUN useradd --create-home --uid 1000 reactive && mkdir /clips && chown reactive:reactive /clips
ENV PATH=/opt/reactive/bin:$PATH
USER 1000
WORKDIR /clips
VOLUME /clips
# the studio, and its preview
EXPOSE 7374 7375
ENTRYPOINT ["reactive"]
CMD ["studio", "/clips/my-clip", "--host", "0.0.0.0", "--no-open"]

# The gate in a container:
#
#     docker build -t pathorob-checks .                               torch for CPUs
#     docker build --build-arg TORCH=cu128 -t pathorob-checks:cuda .  torch for NVIDIA GPUs; run it with --gpus all
#     docker run --rm -v "$PWD:/work" -v pathorob-checks:/cache pathorob-checks --fm=demo:stain-invariant
#
# The libraries of CUDA come with torch: the host needs the GPU's driver and the NVIDIA container toolkit only.
ARG PYTHON=3.12.13

# The version of the code is what git says of the checkout, which the image itself does not need.
FROM python:${PYTHON}-bookworm AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist /source

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="pathorob-checks" \
      org.opencontainers.image.description="A pytest gate for the robustness of pathology foundation models" \
      org.opencontainers.image.licenses="Apache-2.0"
ARG TORCH=cpu
# The libraries first: a change in the code does not bring them anew.
COPY pyproject.toml /source/pyproject.toml
RUN pip install --no-cache-dir 'uv>=0.8,<1' \
 && uv pip install --system --no-cache ${TORCH:+"--torch-backend=$TORCH"} \
      --requirement /source/pyproject.toml --extra transformers --extra open-clip
COPY --from=build /dist /dist
RUN uv pip install --system --no-cache --no-deps /dist/*.whl

RUN useradd --create-home --uid 10001 gate \
 && install -d -o gate -g gate -m 0700 /cache /cache/huggingface /cache/pathorob-checks \
 && install -d -o gate -g gate /work
ENV HF_HOME=/cache/huggingface \
    PATHOROB_CHECKS_CACHE=/cache/pathorob-checks \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
VOLUME /cache
USER 10001
WORKDIR /work
ENTRYPOINT ["pytest"]
CMD ["--help"]

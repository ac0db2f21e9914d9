# Images with the versions in constraints.txt, for CPU and for NVIDIA GPUs (driver 580 or newer).
# The libraries of CUDA are the newest ones that the pinned jax allows.
# hadolint passes on this file. No image was built by us, because no container engine was at hand.
#
#   docker build --target cpu -t jaxharmo .
#   docker build --target cuda -t jaxharmo:cuda .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" jaxharmo train
#   docker run --rm --gpus all -v "$PWD:/work" --user "$(id -u):$(id -g)" jaxharmo:cuda train

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.11-slim AS base
COPY --from=wheel /dist /dist
COPY constraints.txt /dist/
# Any user may run the image, so what is cached goes to a folder that anyone can write.
ENV XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/cache/matplotlib PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 1000 jaxharmo && mkdir /work && chown jaxharmo /work
WORKDIR /work
ENTRYPOINT ["jaxharmo"]
CMD ["--help"]

FROM base AS cuda
RUN pip install --no-cache-dir --constraint /dist/constraints.txt \
    "jaxharmo[cuda,dicom,nifti] @ file://$(echo /dist/*.whl)"
USER 1000

FROM base AS cpu
RUN pip install --no-cache-dir --constraint /dist/constraints.txt \
    "jaxharmo[dicom,nifti] @ file://$(echo /dist/*.whl)"
USER 1000

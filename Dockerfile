# The program with OpenVINO and ONNX Runtime. Build it from a wheel of this version:
#   cargo wheel && docker build --build-context wheel=target/wheel -t classify .
#   docker run --rm -v "$PWD:/data:ro" classify -m model.onnx -i photos
FROM python:3.12-slim-bookworm
ARG OPENVINO=2026.4.1
ARG ONNXRUNTIME=1.31.1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# Everything is installed as root and runs as another user, who cannot change it.
RUN --mount=type=bind,from=wheel,target=/wheel \
    pip install --no-cache-dir --no-compile /wheel/classify_cli-*.whl "openvino==$OPENVINO" "onnxruntime==$ONNXRUNTIME"; \
    useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 classify
USER 10001
WORKDIR /data
ENTRYPOINT ["classify"]
CMD ["--help"]

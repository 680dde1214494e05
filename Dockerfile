# Serves one run: no TensorFlow, no root. See docs/deploy.md.
#   docker build -t headstart .
#   docker run --rm -p 127.0.0.1:8000:8000 -e HEADSTART_TOKEN=… -v "$PWD/runs/photos:/run/headstart/photos:ro" headstart
FROM python:3.11-slim AS build
ARG EXTRAS=serve
COPY . /source
# Without pip, and without OpenVINO's plugins for GPUs and NPUs, which headstart does not use: 83 MB less.
RUN python -m venv --without-pip /opt/headstart \
 && pip --python /opt/headstart install --no-cache-dir --no-compile -c /source/constraints.txt "/source[$EXTRAS]" \
 && cd /opt/headstart/lib/python3.*/site-packages/openvino/libs \
 && rm -f libopenvino_intel_gpu_plugin.so libopenvino_intel_npu_plugin.so cache.json

FROM python:3.11-slim
RUN useradd --create-home headstart
COPY --from=build /opt/headstart /opt/headstart
USER headstart
ENV PATH=/opt/headstart/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HEADSTART_OFFLINE=1
EXPOSE 8000
HEALTHCHECK --start-period=30s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=3)"]
ENTRYPOINT ["headstart", "serve", "--host", "0.0.0.0"]
CMD ["/run/headstart/photos"]

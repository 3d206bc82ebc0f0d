# One image for every process of ours; the command says which one it is.
# The lock holds every extra and group. Here it only constrains: what pyproject.toml asks for at run time is
# installed, each file by a hash of the lock, and nothing else. So there are no embedded servers in it.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /source

COPY pyproject.toml requirements.lock ./
RUN sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p;}' requirements.lock > /tmp/uv.txt \
 && python -m pip install --quiet --no-cache-dir --require-hashes --no-deps -r /tmp/uv.txt
RUN uv venv --quiet /opt/booking \
 && uv pip install --quiet --python /opt/booking/bin/python --require-hashes --no-build -c requirements.lock -r pyproject.toml
RUN uv pip install --quiet --system --require-hashes --no-build -c requirements.lock --group build

COPY LICENSE README.md ./
COPY booking booking
COPY projector projector
COPY loadtest loadtest
RUN uv build --quiet --wheel --no-build-isolation --python "$(command -v python)" --out-dir /tmp/wheel \
 && uv pip install --quiet --python /opt/booking/bin/python --no-deps --no-index /tmp/wheel/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin booking
COPY --from=build /opt/booking /opt/booking
ENV PATH=/opt/booking/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001
# Every process ends in order on SIGTERM, streams included, within 10 s.
STOPSIGNAL SIGTERM
CMD ["booking", "--help"]

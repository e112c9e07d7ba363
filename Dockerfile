# The search page of one archive: docs/serving.md.
#
#   docker build -t galr-search .
#   docker run --rm -p 8000:8000 -v "$PWD/archive.index:/archive:ro" -v "$PWD/images:/images:ro" galr-search
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OMP_WAIT_POLICY=PASSIVE

WORKDIR /app

# the dependencies first: they change less often than the code, and so stay cached
COPY requirements.txt requirements-search.txt ./
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu \
        -r requirements.txt -r requirements-search.txt

COPY pyproject.toml README.md LICENSE ./
COPY options ./options
COPY postprocessing ./postprocessing
COPY galr ./galr
RUN pip install --no-deps . \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin galr

USER 10001
EXPOSE 8000
# SIGTERM ends it once all that was accepted is answered, which takes up to a minute
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["python", "-m", "galr.search", "serve", "--index", "/archive", "--images", "/images", \
            "--host", "0.0.0.0", "--port", "8000"]
CMD ["--workers", "2", "--log", "json"]

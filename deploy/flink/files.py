"""Flink's jars, fetched once, and the jar that Beam's client hands to Flink, compiled from `java/`.

Flink comes as its Python package. That package also has the library with which Beam's runners talk to workers,
because Flink's own Python functions run on it; the jar that is handed over is that library and two classes more.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from features.errors import Refused

OWN_RUNNER = (
    "FLINK_RUNNER_JAR"  # in the environment: Beam's job server, to be used in place of what is made here
)
FOLDER = Path(__file__).resolve().parents[2] / "build" / "flink"
PACKAGE = Path(__file__).with_name("requirements.txt")
SOURCES = Path(__file__).with_name("java")
WANTED = ("flink-dist-", "log4j-", "flink-python-")  # of some twenty jars
JAVA = 17  # the newest that this Flink is made for; 11 will do


class FlinkMissing(Refused):
    """Flink cannot run on this machine; the message says what is missing and what to do."""


def fetch(folder: Path = FOLDER) -> Path:
    """The folder with Flink's jars. Raises FlinkMissing."""
    jars = folder / "jars"
    if not jars.exists():
        need("java")
        folder.mkdir(parents=True, exist_ok=True)
        unpack(download(folder / "download"), folder / "jars.part")
        (folder / "jars.part").rename(jars)
        shutil.rmtree(folder / "download")
    return jars


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FlinkMissing(f"{program} is not on the PATH: install a JDK {JAVA}")
    return path


def download(folder: Path) -> Path:
    """The package's archive."""
    flags = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(folder), "-r", str(PACKAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FlinkMissing(
            f"{PACKAGE.read_text().split()[0]} cannot be fetched:\n{done.stderr.strip()[-500:]}"
        )
    return next(folder.iterdir())


def unpack(archive: Path, into: Path) -> None:
    """The wanted jars, without the folders that they are in."""
    into.mkdir()
    with tarfile.open(archive) as opened:
        for member in opened:
            name = PurePosixPath(member.name).name
            content = opened.extractfile(member) if name.startswith(WANTED) else None
            if content and name.endswith(".jar"):
                (into / name).write_bytes(content.read())


def runner(folder: Path = FOLDER) -> Path:
    """The jar for Beam's option --flink_job_server_jar. Raises FlinkMissing."""
    if given := os.environ.get(OWN_RUNNER):
        return Path(given).resolve()
    made = folder / "riskstream-flink.jar"
    sources = sorted(SOURCES.rglob("*.java"))
    if made.exists() and made.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return made
    jars = fetch(folder)
    classes = folder / "classes"
    shutil.rmtree(classes, ignore_errors=True)
    command = [need("javac"), "-nowarn", "--release", "11", "-d", str(classes), "-cp", f"{jars}/*"]
    done = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FlinkMissing(f"{SOURCES} does not compile:\n{done.stderr.strip()[-2_000:]}")
    part = made.with_suffix(".part")
    shutil.copy(next(jars.glob("flink-python-*.jar")), part)
    with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as jar:
        for each in sorted(classes.rglob("*.class")):
            jar.write(each, each.relative_to(classes).as_posix())
    part.rename(made)
    return made

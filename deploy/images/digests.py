"""The digests of the Dockerfile's bases: `make digests` writes them, a release checks that they are there.

A base is an argument above the first stage, NAME:TAG or NAME:TAG@sha256:DIGEST. Docker asks the registries.
"""

import re
import subprocess
import sys
from pathlib import Path

from features.errors import Refused

DOCKERFILE = Path(__file__).with_name("Dockerfile")
BASE = re.compile(r"^ARG (\w+)=([^\s@]+:[^\s@]+)(@sha256:[0-9a-f]{64})?$", re.MULTILINE)


class NoDigest(Refused):
    """A base image has no digest, or its registry does not give one."""


def bases(text: str) -> dict[str, str | None]:
    """Return by NAME:TAG the digest as written, @sha256:..., or None."""
    return {name: digest or None for _, name, digest in BASE.findall(text)}


def pinned(text: str, digests: dict[str, str]) -> str:
    """The Dockerfile's text with these digests, by NAME:TAG."""
    return BASE.sub(lambda base: f"ARG {base[1]}={base[2]}@{digests[base[2]]}", text)


def digest_of(base: str) -> str:
    """sha256:... of all platforms' index. Raises NoDigest."""
    words = ["docker", "buildx", "imagetools", "inspect", base, "--format", "{{.Manifest.Digest}}"]
    try:
        digest = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoDigest(f"{base}: {getattr(error, 'stderr', None) or error}") from error
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise NoDigest(f"{base}: found {digest!r}, expected sha256:...")
    return digest


def main(words: list[str]) -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    if words == ["--check"]:
        without = [name for name, digest in bases(text).items() if digest is None]
        if without:
            raise NoDigest(
                f"no digest of {', '.join(without)}: run `make digests` and commit {DOCKERFILE.name}"
            )
        return
    DOCKERFILE.write_text(pinned(text, {name: digest_of(name) for name in bases(text)}), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except NoDigest as error:
        sys.exit(f"digests: {error}")

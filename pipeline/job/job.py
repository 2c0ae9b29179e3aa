"""A streaming job: one frozen value that travels with the pipeline to its workers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from export import storage
from features.usecase import BadUseCase, UseCase, parse
from pipeline.job.settings import RunSettings
from pipeline.pubsub import topics


@dataclass(frozen=True, kw_only=True)
class Job(RunSettings):
    """The settings of a job with its use case, whose text travels, because workers may not see the file."""

    use_case_text: str
    use_case_file: str  # what messages call it

    @classmethod
    def load(cls, use_case: str | Path, **settings: Any) -> Self:
        """Return the job of a use case file, local or gs://; topics that are not given are those of the use case.

        Raises BadUseCase.
        """
        file = str(use_case)
        try:
            text = storage.read(file).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadUseCase(f"{file}: {error}") from None
        job = cls(use_case_text=text, use_case_file=file, **settings)
        names = topics.Names(job.project, parse(text, file).name)
        return replace(
            job,
            subscription=job.subscription or names.reader(names.events),
            alerts_topic=job.alerts_topic or names.alerts,
            dead_letters_topic=job.dead_letters_topic or names.dead_letters,
        )

    @property
    def use_case(self) -> UseCase:
        """The use case. Raises BadUseCase."""
        return parse(self.use_case_text, self.use_case_file)

    def with_paths(self) -> Self:
        """Return the same job with whole paths: a worker elsewhere has another working folder."""
        return replace(
            self,
            bundle=_whole(self.bundle),
            redis_ca_file=self.redis_ca_file and _whole(self.redis_ca_file),
            redis_cert_file=self.redis_cert_file and _whole(self.redis_cert_file),
            redis_key_file=self.redis_key_file and _whole(self.redis_key_file),
            subscription=_path(self.project, "subscriptions", self.subscription),
            alerts_topic=_path(self.project, "topics", self.alerts_topic),
            dead_letters_topic=_path(self.project, "topics", self.dead_letters_topic),
        )


def _whole(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


def _path(project: str, kind: str, name: str) -> str:
    return name if "/" in name else f"projects/{project}/{kind}/{name}"

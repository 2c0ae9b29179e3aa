"""A draft of a use case, made from files of events: types, roles, features and a policy to begin with.

What is not plain from the data is asked for or listed as an assumption; nothing is guessed in silence.
"""

from training.draft.reading import Sample, sample
from training.draft.roles import Asked, CannotDraft
from training.draft.use_case import Draft, draft

__all__ = ["Asked", "CannotDraft", "Draft", "Sample", "draft", "sample"]

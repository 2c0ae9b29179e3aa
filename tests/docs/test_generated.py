"""Generated pages and pictures are those that the code gives today."""

import pytest

from docs.site import messages, write
from pipeline.engine.rejects import Reject
from pipeline.outputs.publications import dead_letter
from pipeline.pubsub.message import Message

ROOT = write.ROOT


@pytest.mark.parametrize("path", write.PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == write.PAGES[path](), "run `make reference`"


def test_writing_twice_changes_nothing(tmp_path: pytest.TempPathFactory) -> None:
    assert sorted(write.write(tmp_path)) == sorted(write.PAGES)
    assert write.write(tmp_path) == []


def test_the_page_names_the_attributes_of_a_dead_letter() -> None:
    letter = dead_letter("shop", Reject(Message(b"{", {}, "1", 0), "undecodable", "why"))
    assert letter.attributes.keys() == messages.DEAD_LETTER_ATTRIBUTES.keys()

"""The reference of use case files and the JSON Schema for editors, made from what the parser is declared by."""

import json

from docs.site.markdown import code, notice, table
from export.policy.keys import POLICY
from features.usecase.declaration import Section, document, part
from features.usecase.file_keys import root
from features.usecase.renamed_keys import RENAMED
from training.champion.gate_keys import GATES
from training.data.split_keys import SPLIT
from training.models.keys import model

ROOT = root(part(model(part(SPLIT), part(GATES))), part(POLICY))
INTRODUCTION = """# Use case files

A use case is one YAML file: event types, entities, features, label, model and policy.
`riskstream usecase init FILE` drafts one from data, `riskstream usecase check FILE` reads one and prints its features.
`usecases/offboarding.yaml` is a whole example with comments.

Durations are a whole number with `s`, `m`, `h` or `d`. A single value may stand for a list of one. Where a path has a
word in capitals, the author of the file chooses the key. Booleans are `true` and `false` only: `no` is a text.

An editor with the YAML language server checks a file while it is written, if the first line names the schema, which
lies beside the use cases of the package:

```yaml
# yaml-language-server: $schema=schema.json
```

The schema knows keys, forms and bounds. Whether a name is declared elsewhere in the file is known to
`riskstream usecase check` alone.

"""
RENAMED_KEYS = """## Renamed keys

A former key is refused, and the message names the present one.

"""


def page() -> str:
    """Return docs/reference/use-case.md."""
    source = "the declarations of keys in features/usecase, export/policy and training"
    former = table(
        ("former key", "present key"),
        [(code(old), " or ".join(map(code, new))) for old, new in RENAMED.items()],
    )
    sections = dict.fromkeys(ROOT.walk())
    return notice(source) + INTRODUCTION + "\n".join(map(_section, sections)) + "\n" + RENAMED_KEYS + former


def schema() -> str:
    """Return usecases/schema.json."""
    return json.dumps(document(ROOT, "A riskstream use case"), indent=1) + "\n"


def _section(section: Section) -> str:
    rows = [
        (
            code(key.name),
            key.form.words,
            "**required**" if key.required else _default(key.default),
            key.meaning,
            _example(key.name, key.example),
        )
        for key in section.keys
    ]
    title = section.place or "Top level"  # no code: a path of the file is no module
    return (
        f"## {title}\n\n{section.meaning}\n\n{table(('key', 'value', 'default', 'meaning', 'example'), rows)}"
    )


def _default(text: str) -> str:
    """Words as they are; values as code."""
    is_value = (
        text[:1] in '{["' or text.replace(".", "").isdigit() or (text[:-1].isdigit() and text[-1:] in "smhd")
    )
    return code(text) if is_value else text


def _example(name: str, text: str) -> str:
    return text if text == "see below" else code(f"{name}: {text}")

"""Writes the declarations (`make declarations`)."""

from deploy.terraform import FOLDER, declarations

if __name__ == "__main__":
    for name, text in declarations().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

r"""Text from outside, made safe to show: control characters reach neither a terminal nor the shape of a log line.

An event's text may hold escape sequences that repaint a screen, or a line break that forges a log line. Each such
character is shown as \uXXXX, which is also how JSON may write it.
"""

CONTROLS = (
    *range(0x20),  # C0, with escape, tab and line breaks
    *range(0x7F, 0xA0),  # delete, and C1: U+009B alone begins an escape sequence
    0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),  # line ends, direction of writing
)  # fmt: skip
SHOWN = {code: f"\\u{code:04x}" for code in CONTROLS}
SHOWN_BUT_LINES = {code: text for code, text in SHOWN.items() if chr(code) not in "\t\n"}


def printable(text: str) -> str:
    """Return the text on one line, without control characters."""
    return text if text.isprintable() else text.translate(SHOWN)


def printable_lines(text: str) -> str:
    """Return a text whose own line breaks and tabs stay, without other control characters."""
    return text if text.isprintable() else text.translate(SHOWN_BUT_LINES)

"""Names that try to be something else than names where they are written."""

from __future__ import annotations

import random

PIECES = (
    "\x00", "\x07", "\x08", "\t", "\n", "\r", "\x1b[2J", "\x1b]0;title\x07", "\x7f", "\x85",
    "\x9b31m", "\xa0", "\xad", "\u200b", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff",
    "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\ud800", "\udfff", "\udc80", "\udce9", "=1+1",
    "+1", "-2+3", "@SUM(A1)", '"', "'", "`", ",", ";", "|", "||", "\\", "\\n", "*", "_", "~~",
    "#", "&", "&lt;", "<", ">", "</td>", "</script>", "<script>alert(1)</script>", "<!--",
    "]]>", "<![CDATA[", "[red]", "[/x]", "[link=x]", "{{7*7}}", "{%x%}", "{0}", "%s", "%n", "$x^$",
    "$", "../", "a", "model", " ", "é", "Ω", "模", "👍", "e\u0301", "א",
)  # fmt: skip


def hostile_names(count: int, seed: int = 0) -> list[str]:
    """Return distinct names made of nasty pieces."""
    rng = random.Random(seed)
    names = [
        "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 6))) + str(number)
        for number in range(count)
    ]
    return [name[::-1] if name.isascii() and number % 7 == 0 else name
            for number, name in enumerate(names)]  # fmt: skip


def is_harmless(text: str) -> bool:
    """Whether text is one line of printable characters that can be encoded."""
    text.encode()
    return text.isprintable()

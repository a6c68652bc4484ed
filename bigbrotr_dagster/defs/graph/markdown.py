"""Text of strangers where it is read as Markdown: the UI's descriptions, and the chats behind a webhook."""

import re

# Letters and marks that make nothing of the text in Markdown, GitHub's links without brackets included.
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ,;()'%-]|[.:](?= |$))*")


def as_text(text: str) -> str:
    """Return `text` for a description that the UI shows as Markdown in one place and as it is in another.

    A text that could become a link, a picture or HTML is put into a code span, of which nothing becomes anything.
    """
    if _PLAIN.fullmatch(text):
        return text
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}"


def as_block(text: str) -> str:
    """Return `text` as a block of code: in it Slack, Mattermost and Discord neither link nor call anyone.

    Slack's control sequences begin with < everywhere, so that its three characters are escaped as it wants them.
    """
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("`", "'")):
        text = text.replace(character, entity)
    return f"```\n{text}\n```"

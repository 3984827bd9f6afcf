"""Pages as a browser sees them: their tags, and a file opened without a network."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest


class Tags(HTMLParser):
    """The tags of a page, its text outside scripts and styles, and where its attributes lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.text, self.links, self.inside = [], [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.text.append(data)


@pytest.fixture(scope="session")
def tags():
    """``Tags``."""
    return Tags


@pytest.fixture
def open_page(browser):
    """Open a file without a network; whatever it complains of fails the test."""
    complaints, contexts = [], []

    def opened(file: Path, **options):
        context = browser.new_context(offline=True, **options)
        context.set_default_timeout(120_000)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        tab.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url))
        tab.goto(file.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []

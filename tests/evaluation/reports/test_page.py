"""The page is one file that needs nothing else, and text from outside stays text."""

from html.parser import HTMLParser

import pytest

from coat_ray.evaluation.reports.page import Picture, Section, markdown_text, to_html, to_markdown
from coat_ray.evaluation.reports.report import Table

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)> & {{ 7 * 7 }} {% raw %}"""
PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Tags with attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page():
    table = Table("t", ("point", HOSTILE), [(HOSTILE, "1"), ("b", HOSTILE)], [HOSTILE])
    picture = Picture("scores", HOSTILE, HOSTILE, PNG)
    sections = [Section(HOSTILE, [HOSTILE], table, picture), Section("folded", (), table, folded=True)]
    return Page(to_html(HOSTILE, [(HOSTILE, HOSTILE)], sections))


def test_hostile_text_makes_no_tags(page):
    assert page.all("script") == []
    assert len(page.all("img")) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.open == []


def test_hostile_text_is_shown_as_it_is(page):
    assert page.text.count(HOSTILE) == 15
    assert page.all("img")[0]["alt"] == HOSTILE


def test_pictures_are_inside_and_nothing_comes_from_elsewhere(page):
    assert [attributes["src"] for attributes in page.all("img")] == ["data:image/png;base64,iVBORw0KGgo="]
    assert page.all("link") == page.all("iframe") == page.all("base") == []
    assert not any({"href", "srcset", "style", "action"} & set(attributes) for _, attributes in page.tags)


def test_the_style_is_for_light_and_dark_and_loads_nothing(page):
    style = next(text for text in page.text if "color-scheme" in text)
    assert "prefers-color-scheme: dark" in style
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_says_its_language_and_title_and_what_its_cells_belong_to(page):
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1
    assert [attributes["scope"] for attributes in page.all("th")] == ["col", "col", "row", "row"] * 2


def test_folded_sections_can_be_opened_and_are_not_in_markdown(page):
    assert len(page.all("details")) == len(page.all("summary")) == 1
    assert "folded" not in to_markdown("t", [], [Section("folded", ["said"], folded=True), Section("shown", ["said"])])


def test_a_cell_stays_a_cell_in_markdown():
    table = Table("t", ("a", "b"), [("x|y\nz", "61.2 [58.0, 64.4]")], ["* starred"])
    lines = to_markdown("t", [], [Section("title", ["said"], table)]).splitlines()
    assert "| x\\|y z | 61.2 [58.0, 64.4] |" in lines
    assert "* starred" in lines
    assert "- said" in lines


@pytest.mark.parametrize("text", ["+5.0 [+1.2, +8.9] *", "stages.1.weights.pitch=0.5", "one_word", "a - b"])
def test_markdown_leaves_plain_words_and_intervals_alone(text):
    assert markdown_text(text) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<b>", "&lt;b&gt;"),
        ("[a](x)", "\\[a\\](x)"),
        ("a `b`", "a \\`b\\`"),
        ("**a**", "\\*\\*a\\*\\*"),
        ("two\n\n# lines", "two # lines"),
    ],
)
def test_markdown_escapes_what_would_be_read_as_signs(text, escaped):
    assert markdown_text(text) == escaped


def test_a_section_with_only_a_picture_is_not_in_markdown():
    picture = Section("curves", picture=Picture("x", "t", "a", PNG))
    assert "curves" not in to_markdown("t", [("Command", "x")], [picture])

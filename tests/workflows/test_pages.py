"""The pages that a command writes can be read by everybody: what can be checked of that without a browser."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drivable.cli.main import main

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page is made of.

    Args:
        text: HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.append((tuple(self._open), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self._open), data))

    def named(self, tag: str) -> list[tuple[dict[str, str | None], tuple[str, ...]]]:
        """Attributes of all tags of a name, and in what they stand."""
        return [(attributes, above) for name, attributes, above in self.tags if name == tag]


@pytest.fixture(scope="module")
def pages(rendered_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A report and an inspection with findings, as HTML."""
    folder = tmp_path_factory.mktemp("pages")
    for arguments in (
        ["evaluate", "drivable-lite", "--data", rendered_data, "--report", folder / "report.html"],
        ["data", "inspect", rendered_data, "--page", folder / "inspection.html", "--no-cache", "--workers", "1"],
    ):
        sys.argv = ["drivable", *map(str, arguments)]
        with pytest.raises(SystemExit):
            main()
    return {path.stem: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["report", "inspection"])
def test_a_page_is_told_in_its_parts(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert page.named("html")[0][0]["lang"] == "en"
    assert "".join(text for above, text in page.texts if above[-1:] == ("title",)).strip()
    assert len(page.named("main")) == len(page.named("h1")) == 1
    inside = [above for _, _, above in page.tags if above[:2] == ("html", "body")]
    assert all("main" in above for above in inside if len(above) > 2)
    assert all(attributes.get("alt") for attributes, _ in page.named("img"))
    heads = re.findall(r"<th\b[^>]*>(.*?)</th>", pages[name], re.DOTALL)
    assert len(heads) > 8
    assert all(head.strip() for head in heads)


@pytest.mark.parametrize("name", ["report", "inspection"])
def test_a_page_fits_a_telephone(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert page.named("table")
    # Tables scroll by themselves, with the keyboard too, and the page does not.
    assert len(re.findall(r'<div class="scroll" tabindex="0"><table>', pages[name])) == len(page.named("table"))
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", pages[name])
    assert re.search(r"img[^{]*\{[^}]*max-width: 100%", pages[name])
    # Columns that have a least width give way on a small screen.
    assert all("min(" in least for least in re.findall(r"minmax\(([^)]*)", pages[name]))


def luminance(color: str) -> float:
    """Of a colour such as #555 (WCAG 2.2, relative luminance)."""
    digits = "".join(c * 2 for c in color[1:]) if len(color) == 4 else color[1:]
    values = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["report", "inspection"])
def test_text_stands_out_from_its_ground(pages: dict[str, str], name: str) -> None:
    style = re.search(r"<style>(.*?)</style>", pages[name], re.DOTALL)
    assert style is not None
    rules = re.findall(r"\{([^}]*)\}", style[1])
    grounds = ["#ffffff", *re.findall(r"background: (#[0-9a-f]+)", style[1])]
    colors = {color for rule in rules for color in re.findall(r"(?<![-\w])color: (#[0-9a-f]+)", rule)}
    assert len(colors) > 2
    for color in colors:
        contrast = 1.05 / (luminance(color) + 0.05)
        assert contrast >= 4.5, f"{color} on white: {contrast:.2f}"
    # What has a ground of its own is written in the text's colour.
    assert all((luminance(ground) + 0.05) / (luminance("#222") + 0.05) >= 4.5 for ground in grounds)

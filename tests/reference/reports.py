"""Reads reports of `classify compare` as other programs do and prints what it found as JSON.

usage: reports.py JSON XML HTML
"""

import json
import sys
import xml.etree.ElementTree
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "wbr", "path", "circle", "rect"}


class Page(HTMLParser):
    """Counts elements and checks that they are closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.attributes, self.text = [], {}, set(), []

    def handle_starttag(self, tag, attributes):
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.attributes.update(name for name, _ in attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements[tag] = self.elements.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        closed = self.open.pop()
        assert closed == tag, (closed, tag)

    def handle_data(self, data):
        self.text.append(data)


json_file, xml_file, html_file = sys.argv[1:]
with open(json_file, encoding="utf-8") as file:
    report = json.load(file)
suites = xml.etree.ElementTree.parse(xml_file).getroot()
page = Page()
with open(html_file, encoding="utf-8") as file:
    page.feed(file.read())
page.close()
assert not page.open, page.open
print(
    json.dumps(
        {
            "verdict": report["verdict"],
            "pictures": report["pictures"],
            "cases": [case.get("name") for case in suites.iter("testcase")],
            "failures": len(list(suites.iter("failure"))),
            "elements": page.elements,
            "handlers": sorted(name for name in page.attributes if name.startswith("on")),
            "text": "".join(page.text),
        }
    )
)

"""XML of annotations: nothing expands, nothing outside the file is read, and what cannot be read is one line."""

from __future__ import annotations

import pytest

from dupl.data.voc import objects_in_xml
from dupl.errors import UserError

LAUGHS = '<!DOCTYPE a [<!ENTITY e0 "ha">' + "".join(
    f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12)
)  # 10 ** 11 times
BODY = "<annotation><object><name>{}</name></object></annotation>"
ATTACKS = {
    "billion laughs": f"<?xml version='1.0'?>{LAUGHS}]>{BODY.format('&e11;')}",
    "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY e "{"x" * 100_000}">]>{BODY.format("&e;" * 10_000)}',
    "external": f'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>{BODY.format("&e;")}',
    "external document type": f'<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd">{BODY.format("cat")}',
    "parameter": f'<!DOCTYPE a [<!ENTITY % e SYSTEM "file:///etc/passwd"> %e;]>{BODY.format("cat")}',
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_a_document_type_is_refused(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.xml: it declares a document type"):
        objects_in_xml(path)


@pytest.mark.parametrize(
    "content",
    [
        BODY.format("&lol;").encode(),
        b"<?xml version='1.0' encoding='no-such'?>" + BODY.format("cat").encode(),
        b"<?xml version='1.0' encoding='shift_jis'?>" + BODY.format("cat").encode(),
        b"<?xml version='1.0' encoding='rot13'?>" + BODY.format("cat").encode(),
        b"<?xml version='1.0' encoding='utf-7'?>" + BODY.format("cat").encode(),
        b"\xff\xfe\x00",
        b"\0" * 100,
        b"<a>" * 200_000,
    ],
    ids=["unknown entity", "unknown", "two bytes", "no text", "utf-7", "cut", "zeros", "deep"],
)
def test_what_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"annotation cannot be read: .*a\.xml") as told:
        objects_in_xml(path)
    assert "\n" not in str(told.value)


def test_an_attack_in_a_comment_or_as_text_is_text(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(BODY.format("<!-- <!DOCTYPE a> --><![CDATA[<b>cat]]>"))
    assert objects_in_xml(path) == {"<b>cat"}

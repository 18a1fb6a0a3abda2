from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import docx
import polars as pl
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare import sources
from pakar.prepare.sources.documents.passages import Block, count_words, passages
from pakar.prepare.sources.documents.web import html_blocks, markdown_blocks
from pakar.recipe import Source
from tests.prepare.sources.helpers import Read, read, write

PAGE = """<!DOCTYPE html><html><head><title>Sleep | Clinic</title><style>p {}</style></head><body>
<header><a href="/">Clinic</a></header><nav><ul><li>Home</li><li>Contact</li></ul></nav>
<main><h1>Sleep &amp; rest</h1><p>Sleep is a <b>state</b> of<br>rest.</p>
<h2>Habits</h2><ul><li>Go to bed <em>early</em></li><li><p>No screens</p><ul><li>no phone</li></ul></li></ul>
<table><tr><th>Age</th><th>Hours</th></tr><tr><td>Child</td><td><p>10</p></td></tr></table>
<pre>a
  b</pre><div>loose <span>words</span><p>own</p>after</div><p hidden>secret</p><script>alert(1)</script></main>
<aside>Buy now</aside><footer>All rights reserved</footer></body></html>"""


def test_html_keeps_the_main_content_readable() -> None:
    assert list(html_blocks(PAGE)) == [
        Block("Sleep & rest", 1),
        Block("Sleep is a state of\nrest."),
        Block("Habits", 2),
        Block("- Go to bed early\n- No screens\n  - no phone"),
        Block("Age | Hours\nChild | 10"),
        Block("a\n  b"),
        Block("loose words"),
        Block("own"),
        Block("after"),
    ]


@pytest.mark.parametrize(
    ("html", "texts"),
    [
        ("<p>One<p>Two", ["One", "Two"]),
        ("plain words", ["plain words"]),
        ("", []),
        ("<title>Sleep</title><p>Rest.</p>", ["Sleep", "Rest."]),
        ("<body><header><h1>Sleep</h1></header><p>Rest.</p></body>", ["Sleep", "Rest."]),
        ("<article>One</article><article>Two</article>", ["One", "Two"]),
        ("<table><tr><td><h1>Old</h1><p>Page</p></td></tr></table>", ["Old", "Page"]),
        ("<dl><dt>Sleep</dt><dd>Rest</dd></dl>", ["Sleep\nRest"]),
        ("<p>a</p><ul><li>b</li></ul>c<ul><li>d</li></ul>", ["a", "- b", "c", "- d"]),
        ("<div>" * 3_000 + "deep" + "</div>" * 3_000, ["deep"]),
        ("<ul><li><h3>Head</h3>text</li></ul>", ["Head", "text"]),
    ],
)
def test_html_of_any_make_gives_its_texts(html: str, texts: list[str]) -> None:
    assert [block.text for block in html_blocks(html)] == texts


@given(st.text(st.sampled_from("<>/abdhilprtu1 &;=\"'-!"), max_size=200))
def test_no_markup_breaks_the_html_reader(text: str) -> None:
    assert all(block.text.strip() for block in html_blocks(text))


def test_markdown_loses_its_marks_and_keeps_its_structure() -> None:
    text = "---\ntitle: x\n---\n# Sleep *well*\n\nSee [this](http://x) and `code`.\n\n1. one\n2. two\n\n|a|b|\n|-|-|\n|1|2|\n"
    assert list(markdown_blocks(text)) == [
        Block("Sleep well", 1),
        Block("See this and code."),
        Block("- one\n- two"),
        Block("a | b\n1 | 2"),
    ]


def _words(count: int, word: str = "word") -> str:
    return " ".join([word] * count) + "."


def test_passages_end_at_paragraphs_and_begin_with_the_path_of_headings() -> None:
    blocks = [
        Block("Guide", 1), Block("Sleep", 2), Block(_words(120, "one")), Block(_words(60, "two")), Block("Habits", 3),
        Block(_words(120, "three")), Block("Food", 2), Block(_words(30, "four")),
    ]  # fmt: skip
    assert [passage.text for passage in passages(blocks, 200)] == [
        f"Guide > Sleep\n\n{_words(120, 'one')}\n\n{_words(60, 'two')}",
        f"Guide > Sleep > Habits\n\n{_words(120, 'three')}\n\nFood\n\n{_words(30, 'four')}",
    ]


def test_a_heading_without_text_is_not_lost() -> None:
    blocks = [Block("A", 1), Block("B", 1), Block("text"), Block("C", 2)]
    assert [passage.text for passage in passages(blocks, 200)] == ["A\n\nB\n\ntext\n\nC"]


def test_a_very_long_paragraph_is_cut_at_sentences_and_a_table_at_rows() -> None:
    long = " ".join(f"Sentence number {n} has six words." for n in range(100))
    cut = [passage.text for passage in passages([Block(long)], 200)]
    assert " ".join(cut) == long
    assert all(150 <= count_words(text) <= 200 for text in cut[:-1])
    table = "\n".join(f"row {n} | value" for n in range(300))
    assert "\n".join(passage.text for passage in passages([Block(table)], 200)) == table


BLOCKS = st.lists(st.builds(Block, st.from_regex(r"[a-z]{1,5}( [a-z]{1,5}){0,40}", fullmatch=True), st.integers(0, 3)))


@given(BLOCKS, st.integers(20, 60))
def test_no_word_of_a_document_is_lost(blocks: list[Block], wanted: int) -> None:
    found = " ".join(passage.text for passage in passages(blocks, wanted)).split()
    counted = {word: found.count(word) for word in found}
    for block in blocks:
        assert all(word in counted for word in block.text.split())
    bodies = " ".join(block.text for block in blocks if not block.level).split()
    assert len(found) >= len(bodies)


def _word_document(path: Path) -> Path:
    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Leave", 1)
    document.add_paragraph("Staff may take leave.")
    document.add_paragraph("ask early", style="List Bullet")
    document.add_paragraph("say why", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], ["Kind", "Days", "Sick", "10"], strict=True):
        cell.text = text
    path.parent.mkdir(parents=True, exist_ok=True)
    document.save(str(path))
    return path


def test_a_word_document_keeps_headings_lists_and_tables(tmp_path: Path) -> None:
    found = read(_word_document(tmp_path / "handbook.docx"))
    assert found.texts == [
        "Handbook > Leave\n\nStaff may take leave.\n\n- ask early\n- say why\n\nKind | Days\nSick | 10"
    ]
    assert found.kept.select("source", "offset", "part").rows() == [("handbook.docx", 1, 1)]


def _pdf(*pages: list[str]) -> bytes:
    """A PDF with lines of text, written by hand."""
    bodies = [
        b"BT /F1 12 Tf 50 750 Td " + b"".join(b"(%s) Tj 0 -14 Td " % line.encode() for line in page) + b"ET"
        for page in pages
    ]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, body in enumerate(bodies):
        parts = f"/Contents {5 + 2 * number} 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >>"
        objects += [
            f"<< /Type /Page /Parent 2 0 R {parts} >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body),
        ]
    written, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(written))
    return written + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer


def test_a_pdf_gives_passages_with_page_numbers(tmp_path: Path) -> None:
    pages = [
        [
            "Clinic handbook",
            *[
                f"Line {n} of page {p} is about sleep-" if n == 0 else f"less nights, number {n} of them"
                for n in range(14)
            ],
            "It ends.",
            f"Page {p}",
        ]
        for p in (1, 2, 3)
    ]
    found = read(write(tmp_path / "guide.pdf", _pdf(*pages)), shape={"kind": "text", "passage_words": 60})
    assert found.kept["offset"].to_list() == [1, 2, 3]
    assert found.kept["part"].to_list() == [1, 2, 3]
    assert all(
        text.startswith(f"Line 0 of page {n} is about sleepless nights") for n, text in enumerate(found.texts, 1)
    )
    assert all(text.endswith("It ends.") for text in found.texts)


def _encrypted(content: bytes) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(content))
    writer.encrypt("secret", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(30):
            archive.writestr(f"word/{number}.xml", bytes(10 << 20))
    return buffer.getvalue()


def _entities(folder: Path) -> bytes:
    """A Word document whose XML asks for a file of the machine, and unfolds to a billion words."""
    (folder / "secret").write_text("SECRET")
    source = _word_document(folder / "plain.docx")
    buffer = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "word/document.xml":
                entities = f'<!ENTITY s SYSTEM "file://{folder / "secret"}"><!ENTITY a "lol">' + "".join(
                    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
                )
                content = content.replace(b"?>", b"?><!DOCTYPE x [" + entities.encode() + b"]>", 1)
                content = content.replace(b"Staff may take leave.", b"Staff &s; may &j; leave.")
            new.writestr(name, content)
    source.unlink()
    return buffer.getvalue()


def test_documents_that_cannot_be_read_are_rejected_one_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    good = _pdf(["Sleep is rest."])
    write(folder / "a.pdf", good)
    write(folder / "bomb.docx", _bomb())
    write(folder / "broken.docx", b"PK\3\4 nothing")
    write(folder / "cut.pdf", good[:60])
    write(folder / "locked.pdf", _encrypted(good))
    write(folder / "scan.pdf", _pdf([]))
    write(folder / "slides.pptx", b"PK\3\4")
    write(tmp_path / "secret.txt", "outside")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "within.pdf").symlink_to(folder / "a.pdf")
    found = read(folder)
    assert found.kept["source"].to_list() == ["a.pdf", "within.pdf"]
    assert dict(found.rejected.select("source", "reason").iter_rows()) == {
        "bomb.docx": "too_large",
        "broken.docx": "unreadable_file",
        "cut.pdf": "unreadable_file",
        "link.txt": "outside_folder",
        "locked.pdf": "unreadable_file",
        "scan.pdf": "no_text",
        "slides.pptx": "unsupported_file",
    }
    details = dict(found.rejected.select("source", "detail").iter_rows())
    assert "password" in details["locked.pdf"]
    assert "ocrmypdf" in details["scan.pdf"]


def test_xml_entities_are_not_unfolded(tmp_path: Path) -> None:
    write(tmp_path / "docs" / "a.docx", _entities(tmp_path))
    write(tmp_path / "docs" / "b.txt", "Words.")
    found = read(tmp_path / "docs")
    assert not any("SECRET" in text or "lol" in text for text in found.texts)
    assert len(found.kept) + len(found.rejected) == 2


def test_a_pattern_over_documents_and_shards_of_them(tmp_path: Path) -> None:
    for name in ("a/one.md", "b/two.html", "b/three.txt", "b/four.html.gz"):
        text = f"<p>{name}</p>" if "html" in name else name
        write(tmp_path / name, gzip.compress(text.encode()) if name.endswith("gz") else text)
    found = read(tmp_path / "b" / "*.html*")
    assert found.kept.select("source", "part").rows() == [("four.html.gz", 1), ("two.html", 1)]
    reading = sources.resolve(Source(path=str(tmp_path)))
    shards = sources.shards(reading)
    assert shards is not None
    batches = [batch for shard in shards for batch in sources.read_shard(reading, shard)]
    parted = Read(pl.concat([b.kept for b in batches]), pl.concat([b.rejected for b in batches]))
    assert parted.kept.equals(read(tmp_path).kept)
    assert len(shards) == 4

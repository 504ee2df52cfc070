"""The report page is read back by a parser: what stands where, that no text becomes markup, and no link leads out.

Pictures are read back as pixels.
"""

import base64
import errno
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.files import InputError
from graph_builders.hashtag_graph import HashtagGraph
from v2ht import plots
from v2ht.demo_page import _most_colourful
from v2ht.evaluation import report
from v2ht.page import SNAPSHOT_PIXELS, Case, Picture, Predicted, Section, Table, verdict, write_page

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=y>",
    "{{ 7 * 7 }}{% raw %}",
    "&amp;</style>",
    "🐶🌸",
    "مرحبا \u202e abc",
]
VOID = {"meta", "img"}


class Read(HTMLParser):
    """The tags of a page in order, every text with the tags that it stands in, and the rows of all tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.texts, self.rows, self._open = [], [], [], []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, text):
        self.texts.append((text, list(self._open)))
        if {"td", "th"} & {tag for tag, _ in self._open}:
            self.rows[-1][-1] += text

    def inside(self, tag, **attributes):
        """Every text somewhere inside such a tag."""
        wanted = attributes.items()
        return [t for t, around in self.texts if any(n == tag and wanted <= a.items() for n, a in around) if t.strip()]


def page(folder: Path, *parts, title="Title", lead="Lead.", facts=None, text=()) -> Read:
    section = Section(title="Part", text=text, parts=parts)
    write_page(folder / "page.html", title=title, lead=lead, facts=facts or {}, sections=[section])
    return Read((folder / "page.html").read_bytes().decode())


def png(width=8, height=4, **options) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(written, format="PNG", **options)
    return written.getvalue()


def case(**changes) -> Case:
    image = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    predictions = {
        "v2ht": [
            Predicted(hashtag="dog", train_videos=1234, hit=True),
            Predicted(hashtag="cat", train_videos=20, hit=False),
            Predicted(hashtag="beagle", train_videos=19, hit=True),
        ],
        "popularity": [Predicted(hashtag="love", train_videos=2000, hit=False)],
    }
    given = {
        "title": "A walk",
        "user": "anna",
        "text": "my dog",
        "snapshots": [image, image[:, ::-1]],
        "times": [0.0, 2.54],
        "truth": [("dog", 1234), ("beagle", 19)],
        "predictions": predictions,
        "note": "A remark.",
    }
    return Case(**(given | changes))


def all_texts(text: str) -> dict:
    """A page on which `text` stands in every place that takes text."""
    one = Predicted(hashtag=text, train_videos=3, hit=True)
    story = case(title=text, user=text, text=text, truth=[(text, 30)], predictions={text: [one]}, note=text)
    rows = [[text], [text, text, text]]
    table = Table(caption=text, header=[text, text, text], rows=rows, highest=[text], floors=[text], note=text)
    parts = [table, Picture(caption=text, png=png()), story]
    sections = [Section(title=text, text=[text], parts=parts)]
    return {"title": text, "lead": text, "facts": {text: text}, "sections": sections}


def read_back(folder: Path, text: str) -> Read:
    write_page(folder / "page.html", **all_texts(text))
    return Read((folder / "page.html").read_bytes().decode())


def check_text_stays_text(folder: Path, text: str) -> None:
    plain, found = read_back(folder, "plain"), read_back(folder, text)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in found.tags] == [set(attributes) for _, attributes in plain.tags]
    assert [t for t, _ in found.texts].count(text) == [t for t, _ in plain.texts].count("plain") == 24
    captions = [a["alt"] for tag, a in found.tags if tag == "img"]
    assert captions == [text, "snapshot 1", "snapshot 2"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text, tmp_path):
    check_text_stays_text(tmp_path, text)


@settings(max_examples=25)
@given(text=st.text(min_size=1))
def test_any_text_stays_text(text, tmp_path_factory):
    assume(text.strip() and " ±" not in text and not text[0].isdigit() and text[0] not in "<+−-.")
    check_text_stays_text(tmp_path_factory.mktemp("page"), text)


def test_half_a_character_of_a_file_name_does_not_stop_the_page(tmp_path):
    assert "clip?.mp4" in page(tmp_path, text=["clip\udce4.mp4"]).inside("p")


def test_a_table_by_hand(tmp_path):
    rows = [
        ["all videos"],
        ["v2ht", ".752 ±.012", "-", "1,204"],
        ["popularity", ".810 ±.010", "<.001", "999"],
        ["rare"],
        ["v2ht", ".100 ±.020", "-", "7"],
        ["knn", ".100 ±.030", ".5", "80"],
    ]
    table = Table(
        caption="Results",
        header=["", "recall", "p", "pairs"],
        rows=rows,
        highest=["recall", "pairs"],
        floors=["popularity"],
        note="A note.",
    )
    found = page(tmp_path, table)
    assert [[cell.strip() for cell in row] for row in found.rows] == [
        ["", "recall", "p", "pairs"],
        ["all videos"],
        ["v2ht", ".752\xa0±.012", "-", "1,204"],
        ["popularity", ".810\xa0±.010", "<.001", "999"],
        ["rare"],
        ["v2ht", ".100\xa0±.020", "-", "7"],
        ["knn", ".100\xa0±.030", ".5", "80"],
    ]
    assert found.inside("strong") == ["1,204", ".810", ".100", ".100", "80"]  # both of two equals
    assert found.inside("tr", **{"class": "floor"}) == ["popularity", ".810", "±.010", "<.001", "999"]
    assert found.inside("figcaption") == ["Results"]
    assert found.inside("p", **{"class": "note"}) == ["A note."]


def test_columns_of_numbers_stand_right_and_words_left(tmp_path):
    rows = [["a", "12.5 s", "no such file", "-"], ["b", "-", "3 streams, none of video", "<.001"]]
    found = page(tmp_path, Table(caption="c", header=["cause", "took", "message", "p"], rows=rows))
    assert found.inside("td", **{"class": "number"}) == ["12.5 s", "-", "-", "<.001"]
    assert found.inside("th", **{"class": "number"}) == ["took", "p"]


@settings(max_examples=25)
@given(data=st.data())
def test_bold_is_the_highest_of_its_column_and_part(data, tmp_path_factory):
    parts = data.draw(st.lists(st.lists(st.floats(-2, 2000), min_size=2, max_size=5), min_size=1, max_size=3))
    words = [[f"{value:,.3f}" for value in part] for part in parts]
    rows = [row for part in words for row in (["heading"], *(["name", word] for word in part))]
    found = page(tmp_path_factory.mktemp("page"), Table(caption="c", header=["", "x"], rows=rows, highest=["x"]))
    expected = []
    for part in words:
        numbers = [float(word.replace(",", "")) for word in part]
        expected += [word for word, number in zip(part, numbers, strict=True) if number >= max(numbers)]
    assert found.inside("strong") == expected


def test_a_report_table_becomes_a_page_table():
    sections = [("all", [["v2ht", ".7 ±.1", "-"], ["popularity", ".2 ±.1", ".03"]]), ("cold user: no videos", [])]
    made = Table.of(report.Table(header=["", "recall@10", "p"], sections=sections), caption="c", floors=["popularity"])
    assert made.rows == [["all"], *sections[0][1]]
    assert (made.header, set(made.highest), made.floors) == (["", "recall@10", "p"], {"recall@10"}, ["popularity"])


def test_a_case_by_hand(tmp_path):
    found = page(tmp_path, case())
    assert found.inside("u") == ["Underlined", "dog", "1,234", "beagle", "19"]  # the first explains the sign
    assert found.inside("bdi", **{"class": "rare"}) == ["beagle", "beagle"]  # 19 train videos, in truth and predicted
    assert found.inside("ul") == ["dog", "1,234", "beagle", "19"]
    assert found.inside("ol") == ["dog", "1,234", "cat", "20", "beagle", "19", "love", "2,000"]
    assert found.inside("dt") == ["true hashtags ", "2", "v2ht", "2 of 3 hit", "popularity", "0 of 1 hit"]
    assert found.inside("p", **{"class": "post"}) == ["anna", "my dog"]
    assert found.inside("figcaption") == ["0.0 s", "2.5 s"]
    assert found.inside("p", **{"class": "note"}) == ["A remark."]


def embedded(found: Read) -> list[np.ndarray]:
    uris = [attributes["src"] for tag, attributes in found.tags if tag == "img"]
    assert all(uri.startswith("data:image/png;base64,") for uri in uris)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris]


def test_snapshots_are_the_pictures_given_and_large_ones_are_made_smaller(tmp_path):
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    large = np.full((2000, 1000, 3), 77, np.uint8)
    first, second = embedded(page(tmp_path, case(snapshots=[small, large])))
    np.testing.assert_array_equal(first, small)
    assert second.shape == (SNAPSHOT_PIXELS, SNAPSHOT_PIXELS // 2, 3)
    assert (second == 77).all()


def test_a_case_without_pictures_shows_none(tmp_path):
    found = page(tmp_path, case(snapshots=[], times=[]))
    assert not [tag for tag, attributes in found.tags if tag == "img" or attributes.get("class") == "snapshots"]


def test_a_picture_keeps_its_bytes_and_the_size_it_was_drawn_for(tmp_path):
    given = [png(260, 130, dpi=(192, 192)), png(30, 20)]
    found = page(tmp_path, *(Picture(caption="c", png=one) for one in given))
    images = [attributes for tag, attributes in found.tags if tag == "img"]
    assert [(image["width"], image["height"]) for image in images] == [("130", "65"), ("30", "20")]
    assert [base64.b64decode(image["src"].partition(",")[2]) for image in images] == given


def test_the_page_needs_nothing_else(tmp_path):
    found = read_back(tmp_path, "plain")
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
    addresses = [attributes[key] for _, attributes in found.tags for key in ("src", "href") if key in attributes]
    assert len(addresses) == 3
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not [word for word in ("http:", "https:", "url(", "@import", "srcset", "@font-face") if word in html]


def test_sections_without_content_and_a_page_without_sections(tmp_path):
    table = Table(caption="Nothing", header=["name", "count"], rows=[])
    sections = [Section(title="One"), Section(title="Two"), Section(title="Three", parts=[table])]
    write_page(tmp_path / "page.html", title="T", lead="L", facts={}, sections=sections)
    found = Read((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found.inside("h2") == found.inside("nav") == ["One", "Two", "Three"]
    assert [a["href"] for tag, a in found.tags if tag == "a"] == ["#section-1", "#section-2", "#section-3"]
    assert [a["id"] for tag, a in found.tags if tag == "section"] == ["section-1", "section-2", "section-3"]
    write_page(tmp_path / "page.html", title="T", lead="L", facts={"Clips": "240"}, sections=[])
    found = Read((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found.inside("dl") == ["Clips", "240"]
    assert not found.inside("nav")


def test_a_full_disk_keeps_the_old_page(tmp_path, monkeypatch):
    def full(path, content):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "page.html").write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"page\.html cannot be written .*free some space"):
        page(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "old"


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="table 'c' has 1 columns, expected at least 2"):
        Table(caption="c", header=["x"], rows=[])
    with pytest.raises(ValueError, match="table 'c': row 1 has 3 cells, the header 2"):
        Table(caption="c", header=["x", "y"], rows=[["1", "2"], ["1", "2", "3"]])
    with pytest.raises(ValueError, match=r"picture 'c' is not a PNG file \(it begins with b'GIF89a'\)"):
        Picture(caption="c", png=b"GIF89a")
    with pytest.raises(ValueError, match="'A walk' has 2 snapshots and 1 times"):
        case(times=[0.0])
    for image, found in (
        (np.zeros((4, 4, 3)), r"float64 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
    ):
        with pytest.raises(ValueError, match=f"snapshot of {found}; give uint8"):
            case(snapshots=[image], times=[0])


def comparison(own: float, **others) -> dict:
    systems = {"v2ht": {"recall@10": {"mean": own, "half_width": 0.01}}}
    for name, (mean, low, high, p) in others.items():
        tests = {"mean": mean, "half_width": 0.01, "difference": mean - own, "interval": [low, high], "p": p}
        systems[name] = {"recall@10": tests}
    return {"reference": "v2ht", "level": 0.95, "overall": {"videos": 9, "systems": systems}}


@pytest.mark.parametrize(
    ("own", "knn", "text"),
    [
        (0.75, (0.5, -0.3, -0.2, 0.0001), "is ahead of knn, .500, .250, .200 to .300, p < .001, is significant"),
        (0.25, (0.5, 0.2, 0.3, 0.02), "is behind knn, .500, -.250, -.300 to -.200, p = .020, is significant"),
        (0.5, (0.5, -0.1, 0.1, 1.0), "equals knn, .500, .000, -.100 to .100, p = 1.000, is not significant"),
        (0.75, (0.5, -0.6, 0.1, 0.05), "is ahead of knn, .500, .250, -.100 to .600, p = .050, is not significant"),
    ],
)
def test_the_verdict_names_the_strongest_rival_and_how_certain_it_is(own, knn, text):
    stands, mean, gain, interval, p, certain = text.split(", ")
    assert verdict(comparison(own, popularity=(0.1, 0, 0, 0), knn=knn)) == (
        f"v2ht reaches recall@10 {report.number(own)} and {stands}, the best other system, with {mean}. "
        f"The difference of {gain} (95 % interval {interval}, {p}) {certain}."
    )


def test_a_verdict_needs_another_system():
    for lonely in (comparison(0.5), comparison(0.5) | {"overall": None}):
        with pytest.raises(ValueError, match="v2ht is compared with no other system"):
            verdict(lonely)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def columns_of(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    """The mean column of the pixels of a colour."""
    return float(np.nonzero((np.abs(image - colour) < 9).all(axis=2))[1].mean())


def test_a_contact_sheet_keeps_the_order_of_its_pictures(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    images = [np.full((30, 40 + 5 * place, 3), colour, np.uint8) for place, colour in enumerate(colours)]
    plots.contact_sheet(images, ["a", r"$\b{$", "犬 🐶"], tmp_path / "sheet.png")
    places = [columns_of(pixels(tmp_path / "sheet.png"), colour) for colour in colours]
    assert places == sorted(places)
    assert places[2] - places[0] > 300
    plots.contact_sheet(images * 3, ["x"] * 9, tmp_path / "rows.png")
    assert pixels(tmp_path / "rows.png").shape[0] == pytest.approx(2 * pixels(tmp_path / "sheet.png").shape[0], abs=2)
    with pytest.raises(ValueError, match="3 pictures and 2 titles"):
        plots.contact_sheet(images, ["a", "b"], tmp_path / "none.png")
    with pytest.raises(ValueError, match="0 pictures and 0 titles; give at least one"):
        plots.contact_sheet([], [], tmp_path / "none.png")


def test_the_frame_that_stands_for_a_clip_has_colour_not_contrast():
    room, subject = np.full((8, 8, 3), 40, np.uint8), np.full((8, 8, 3), (60, 90, 60), np.uint8)
    room[:4] = 220
    assert room.std() > subject.std()
    assert np.array_equal(_most_colourful(np.stack([room, subject, room])), subject)


def test_a_spectrogram_has_low_bands_below_and_late_steps_to_the_right(tmp_path):
    mel_TB = np.zeros((20, 32))
    mel_TB[10:, :16] = 1
    plots.spectrogram(mel_TB, tmp_path / "mel.png", seconds_per_step=0.2, sample_rate=22050)
    image = pixels(tmp_path / "mel.png").sum(axis=2)
    height, width = image.shape
    quarters = {
        (row, column): image[int(height * row), int(width * column)] for row in (0.2, 0.6) for column in (0.2, 0.6)
    }
    assert max(quarters, key=quarters.__getitem__) == (0.6, 0.6)
    assert min(quarters.values()) < 30
    for bad in (np.zeros((0, 32)), np.zeros(5), np.full((3, 4), np.nan)):
        with pytest.raises(ValueError, match="give finite numbers"):
            plots.spectrogram(bad, tmp_path / "none.png", seconds_per_step=0.2, sample_rate=22050)
    assert [path.name for path in tmp_path.iterdir()] == ["mel.png"]


def test_a_neighbourhood_shows_the_relations_of_its_centre_only_where_there_are_any(tmp_path):
    source, target = np.array([[0, 0, 0, 1], [1, 2, 3, 2]], np.int32)
    graph = HashtagGraph(
        num_hashtags=5,
        source=source,
        target=target,
        relation=np.array([0, 0, 0, 1], np.int8),
        weight=np.ones(4, np.float32),
    )
    blue, faint_green = {}, {}
    for centre in (0, 4):
        plots.neighbourhood(graph, [r"$\dog$", "犬", "dogpark", "pup", "alone"], centre, tmp_path / "graph.png")
        image = pixels(tmp_path / "graph.png")
        blue[centre], faint_green[centre] = (
            (np.abs(image - colour) < 9).all(axis=2).sum() for colour in ((31, 119, 180), (160, 212, 160))
        )
    assert blue[0] > 5 * blue[4] > 0  # the legend alone has some
    assert faint_green[0] > 20 > faint_green[4]


def test_bars_show_the_reference_darker(tmp_path):
    plots.results_bars(
        comparison(0.5, knn=(0.25, 0, 0, 1)) | dict.fromkeys(("longtail", "new_to_user", "cold_user")),
        tmp_path / "bars.png",
    )
    image = pixels(tmp_path / "bars.png")
    dark, light = ((np.abs(image - colour) < 3).all(axis=2).sum() for colour in ((31, 119, 180), (176, 196, 222)))
    assert 1.8 < dark / light < 2.2  # 0.5 and 0.25

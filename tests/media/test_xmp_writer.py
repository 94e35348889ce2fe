"""XMP files that we write: read back as they were meant, by us and by exiv2's rules, and what others wrote stays."""

from pathlib import Path

import pytest

from samespace.core.errors import UnreadableMedia
from samespace.library.library import Library
from samespace.library.store.marks import Change
from samespace.media.metadata.xmp import parse, read_sidecar
from samespace.media.metadata.xmp_writer import write_sidecar

FOREIGN = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:darktable="http://darktable.sf.net/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" darktable:history_end="3" {rating}>
   <darktable:history><rdf:Seq><rdf:li darktable:operation="exposure" darktable:params="00ff"/></rdf:Seq></darktable:history>
   <dc:subject>{subject}</dc:subject>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">A title</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
BAG = "<rdf:Bag><rdf:li>Sea</rdf:li></rdf:Bag>"


def test_a_new_file_lies_beside_the_picture_and_says_it_all(tmp_path):
    sidecar = write_sidecar(tmp_path / "a & b.jpg", ["Hund <3", "海"], ["Anna"], 4)
    assert sidecar.name == "a & b.jpg.xmp"
    found = parse(sidecar.read_bytes())
    assert (found.keywords, found.people, found.rating) == (("Hund <3", "海"), ("Anna",), 4)
    before = sidecar.read_bytes()
    assert write_sidecar(tmp_path / "a & b.jpg", ["hund <3"], ["anna"], 4).read_bytes() == before


@pytest.mark.parametrize("extension", ['photoshop:SidecarForExtension="CR2"', "photoshop:SidecarForExtension = 'CR2'"])
def test_the_file_of_a_raw_file_is_not_that_of_the_picture_of_its_name(tmp_path, extension):
    namespace = 'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    shared = tmp_path / "IMG_1.xmp"
    shared.write_text(FOREIGN.format(subject=BAG, rating=f'xmp:Rating="2" {namespace} {extension}'))
    before = shared.read_bytes()
    assert read_sidecar(tmp_path / "IMG_1.cr2").rating == 2 and read_sidecar(tmp_path / "IMG_1.jpg").rating is None
    assert write_sidecar(tmp_path / "IMG_1.jpg", ["Berg"], [], 0).name == "IMG_1.jpg.xmp" and shared.read_bytes() == before
    assert write_sidecar(tmp_path / "IMG_1.CR2", ["Berg"], [], 0) == shared
    assert read_sidecar(tmp_path / "IMG_1.jpg").keywords == ("Berg",)


@pytest.mark.parametrize("subject", [BAG, "Sea", ""])
@pytest.mark.parametrize("rating", ['xmp:Rating="2"', ""])
def test_what_another_program_wrote_stays(tmp_path, subject, rating):
    sidecar = tmp_path / "IMG_1.xmp"
    sidecar.write_text(FOREIGN.format(subject=subject, rating=rating), "utf-8")
    assert write_sidecar(tmp_path / "IMG_1.CR2", ["sea", "Beach"], [], 5) == sidecar
    written = sidecar.read_text("utf-8")
    for kept in ('darktable:history_end="3"', 'darktable:params="00ff"', "A title", 'x:xmptk="XMP Core 6.0.0"'):
        assert kept in written
    found = parse(sidecar.read_bytes())
    assert found.rating == 5 and "xmp:Rating" in written and written.count("Rating") == 1
    assert found.keywords == (("Sea", "Beach") if subject else ("sea", "Beach"))
    write_sidecar(tmp_path / "IMG_1.CR2", [], ["Bo"], 0)
    assert parse(sidecar.read_bytes()).rating == 5


@pytest.mark.parametrize(
    "data", [b"", b"no xml", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf"]
)
def test_what_cannot_be_read_is_left_as_it_is(tmp_path, data):
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"a\.jpg\.xmp"):
        write_sidecar(tmp_path / "a.jpg", ["x"], [], 0)
    assert sidecar.read_bytes() == data


def test_tags_live_on_in_the_files_when_the_library_is_made_again(tmp_path, album, tiny_space):
    library, before = Library(tmp_path / "library", tiny_space), (album / "chelsea.png").read_bytes()
    library.add([album])
    library.mark([album / "chelsea.png"], Change(tags=("Felix",), people=("Anna",), rating=3))
    library.mark([album / "coffee.png"], Change(tags=("Cup",), favourite=True))
    (album / "coffee.png.xmp").write_text("broken")
    assert library.write_sidecars("name:rocket") == (0, [])
    written, ((path, reason),) = library.write_sidecars()
    assert written == 1 and path.endswith("coffee.png") and "coffee.png.xmp" in reason
    assert (album / "chelsea.png").read_bytes() == before
    anew = Library(tmp_path / "anew", tiny_space)
    anew.add([album])
    (hit,) = anew.search("tag:felix person:anna rating:3")
    assert Path(hit.path).name == "chelsea.png"


def test_conditions_that_more_files_meet_than_are_marked_leave_none_out(tmp_path, album, tiny_space):
    library = Library(tmp_path / "library", tiny_space)
    library.add([album])
    oldest = library.search("", top=100, where="kind:image", group_by="file")[-1].path
    library.mark([oldest], Change(tags=("one",)))
    assert library.write_sidecars("kind:image") == (1, [])


def test_a_link_and_who_may_read_it_stay(tmp_path):
    kept = tmp_path / "synced.xmp"
    kept.write_text(FOREIGN.format(subject=BAG, rating=""))
    kept.chmod(0o640)
    (tmp_path / "a.jpg.xmp").symlink_to(kept)
    write_sidecar(tmp_path / "a.jpg", ["Berg"], [], 0)
    assert (tmp_path / "a.jpg.xmp").is_symlink() and kept.stat().st_mode & 0o777 == 0o640
    assert parse(kept.read_bytes()).keywords == ("Sea", "Berg")


def test_tags_of_one_file_are_not_those_of_another_of_its_name(tmp_path):
    for name in ("IMG_1.HEIC", "IMG_1.MOV"):
        (tmp_path / name).write_bytes(b"x")
    shared = tmp_path / "IMG_1.xmp"
    shared.write_text(FOREIGN.format(subject=BAG, rating=""))
    assert write_sidecar(tmp_path / "IMG_1.MOV", ["Berg"], [], 0).name == "IMG_1.MOV.xmp"
    assert read_sidecar(tmp_path / "IMG_1.MOV").keywords == ("Sea", "Berg") and read_sidecar(
        tmp_path / "IMG_1.HEIC"
    ).keywords == ("Sea",)


def test_a_sidecar_in_utf_16_is_read(tmp_path):
    (tmp_path / "a.jpg.xmp").write_bytes(FOREIGN.format(subject=BAG, rating="").partition("?>")[2].encode("utf-16"))
    assert read_sidecar(tmp_path / "a.jpg").keywords == ("Sea",)
    assert read_sidecar(write_sidecar(tmp_path / "a.jpg", ["Berg"], [], 0).with_suffix("")).keywords == ("Sea", "Berg")

"""What people see."""

from samespace.cli.console import MANY, skipped_lines


def test_many_skipped_for_one_reason_are_one_line():
    many = [(f"/a/{i}.mp3", "no ears; get some") for i in range(MANY + 1)]
    few = [("/a/b\n.png", "broken; mend it"), ("/a/c.png", "broken; mend it")]
    assert list(skipped_lines([*few, *many])) == [
        "skipped /a/b\\n.png: broken; mend it", "skipped /a/c.png: broken; mend it",
        f"skipped {MANY + 1} files, /a/0.mp3 the first (--json names all): no ears; get some",
    ]  # fmt: skip

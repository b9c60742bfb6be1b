from tests.unused_code import PRODUCT, unused


def test_code_is_named_whose_users_are_not_read():
    found = "\n".join(unused(["util"], ["util"]))
    assert "unused function 'array_literal'" in found
    assert "unused function 'test_" not in found


def test_names_in_texts_are_uses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "api").mkdir()
    columns = 'found_at = 1\nlost_at = 2\nheld_at = 3\nSQL = "SELECT found_at FROM facts"\n'
    (tmp_path / "api/facts.py").write_text(f"{columns}print(SQL, dict(held_at__lt=1))\n")
    assert list(unused(["api"], PRODUCT)) == ["api/facts.py:2: unused variable 'lost_at'"]

from client_sdk.paths import dotted, pointer


def test_a_path_reads_like_code():
    assert dotted(("providers", 3, "a b")) == ".providers[3]['a b']"


def test_a_pointer_escapes_what_would_split_it():
    assert pointer(("a/b", 3, "~")) == "/a~1b/3/~0"


def test_the_root_is_empty_in_both():
    assert (dotted(()), pointer(())) == ("", "")

from __future__ import annotations

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.redis_url import Group, Host, group_of


@pytest.mark.parametrize(
    "url", ["redis://a", "rediss://a:1/2", "unix:///s", "http://a", "mongodb+cluster://a:1", "a"]
)
def test_what_names_one_server_is_no_group(url: str) -> None:
    assert group_of(url) is None


def test_sentinels_are_read_with_their_service_and_how_to_open_its_master() -> None:
    group = group_of("redis+sentinel://user:p%40ss@10.0.0.1:26379,[::1]:26380/config/2")

    hosts = (Host("10.0.0.1", 26379), Host("::1", 26380))
    assert group == Group("sentinel", "redis", hosts, "user:p%40ss@", "config", "2", "")
    assert group.url_of(Host("m", 1)) == "redis://user:p%40ss@m:1/2"


def test_each_node_of_a_cluster_has_the_login_and_the_options_of_all() -> None:
    group = group_of("rediss+cluster://:pw@a:7000,[::1]:7001?ssl_ca_certs=/etc/ca.pem")

    assert group is not None
    assert (group.kind, group.hosts) == ("cluster", (Host("a", 7000), Host("::1", 7001)))
    assert group.url_of(group.hosts[1]) == "rediss://:pw@[::1]:7001/?ssl_ca_certs=/etc/ca.pem"


@pytest.mark.parametrize("rest", ["", "a", "a:1,b", "a:1/0", ":1", "a:0", "a:65536", "a:x", "a:²"])
def test_a_cluster_that_cannot_be_is_refused_with_an_example_and_without_password(
    rest: str,
) -> None:
    with pytest.raises(SettingInvalid, match=r"a cluster is written redis\+cluster://") as refused:
        group_of(f"redis+cluster://user:sesame@{rest}")

    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("rest", ["a", "a:1", "a:x/config", ":1/config", "a:1/config/x", "a:1,/c"])
def test_sentinels_that_cannot_be_are_refused_with_an_example(rest: str) -> None:
    with pytest.raises(SettingInvalid, match="sentinels are written"):
        group_of(f"rediss+sentinel://{rest}")


@pytest.mark.parametrize("password", ["se#same", "se[same", "se@same", "se same"])
def test_a_password_that_no_url_can_hold_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(SettingInvalid, match="percent-encoded") as refused:
        group_of(f"redis+cluster://user:{password}@a:1")

    assert "same" not in str(refused.value)

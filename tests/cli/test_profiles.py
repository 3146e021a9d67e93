"""Which control plane, which token: and that a token goes nowhere else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from caisey.cli import profiles
from caisey.cli.faults import NotAllowed, UsageFault
from caisey.cli.profiles import Profile, Target
from tests.cli import program
from tests.cli.stub_server import TOKEN, Stub

LOCAL = "http://127.0.0.1:8700"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with a profile `local`, whose token is in a file."""
    token = tmp_path / "token"
    profiles.write_private(token, "cst_saved\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    profiles.store(profiles.config_path(environ), "local", Profile(LOCAL, token), make_default=False)
    return environ


def test_the_first_profile_is_the_default(environ: dict[str, str]) -> None:
    assert profiles.resolve(environ) == Target(LOCAL, "cst_saved")


def test_flags_before_environment_before_file(environ: dict[str, str], tmp_path: Path) -> None:
    other = {**environ, "CAISEY_URL": "https://caisey.example/", "CAISEY_TOKEN": "cst_env"}
    assert profiles.resolve(other) == Target("https://caisey.example", "cst_env")
    assert profiles.resolve(other, url=LOCAL) == Target(LOCAL, "cst_env")
    given = tmp_path / "given"
    profiles.write_private(given, "cst_file")
    assert profiles.resolve(other, token_file=str(given)).token == "cst_file"
    assert profiles.resolve({**other, "CAISEY_TOKEN": ""}, url=f"{LOCAL}/").token == "cst_saved"
    assert profiles.resolve({"CAISEY_URL": LOCAL, **environ, "CAISEY_TOKEN_FILE": str(given)}).token == "cst_file"


def test_a_profile_that_is_named_is_not_overruled_by_the_environment(environ: dict[str, str]) -> None:
    assert profiles.resolve({**environ, "CAISEY_URL": "https://other.example"}, profile="local").url == LOCAL


def test_a_saved_token_goes_to_its_own_address_only(environ: dict[str, str]) -> None:
    with pytest.raises(NotAllowed):
        profiles.resolve({**environ, "CAISEY_URL": "https://evil.example"})


def test_a_token_does_not_go_unencrypted_to_another_machine(environ: dict[str, str]) -> None:
    with pytest.raises(UsageFault):
        profiles.resolve({**environ, "CAISEY_TOKEN": "cst_x"}, url="http://caisey.example")
    given = {**environ, "CAISEY_TOKEN": "cst_x"}
    target = profiles.resolve(given, url="http://caisey.example", insecure_http=True)
    assert target == Target("http://caisey.example", "cst_x")


@pytest.mark.parametrize("url", ["caisey.example", "ftp://x", "http://", "http://a?b=c", "https://user@host"])
def test_addresses_that_are_none(environ: dict[str, str], url: str) -> None:
    with pytest.raises(UsageFault):
        profiles.resolve({**environ, "CAISEY_TOKEN": "cst_x"}, url=url)


def test_a_secret_that_others_may_read_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(UsageFault, match="Others may read"):
        profiles.resolve(environ)


@pytest.mark.parametrize("content", ["", "\n", "two words", "x" * 5000, "cst_\x00", "tökén"])
def test_a_file_that_holds_no_token(environ: dict[str, str], tmp_path: Path, content: str) -> None:
    path = tmp_path / "other"
    profiles.write_private(path, content)
    with pytest.raises(UsageFault):
        profiles.resolve(environ, token_file=str(path))


def test_the_file_is_private_and_keeps_other_profiles(environ: dict[str, str], tmp_path: Path) -> None:
    path = profiles.config_path(environ)
    strange = Profile('https://x.example/"quoted"', tmp_path / 'a"b')
    profiles.store(path, "other", strange, make_default=True)
    known = profiles.read(path)
    assert known.default == "other"
    assert known.profiles == {"local": Profile(LOCAL, tmp_path / "token"), "other": strange}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageFault):
        profiles.store(path, "a b", strange, make_default=False)


@pytest.mark.parametrize("text", ["not toml [", "[profiles.x]\n", "[profiles.x]\nurl = 3\n", "[profiles]\nx = 1\n"])
def test_a_file_that_does_not_fit_is_named(environ: dict[str, str], text: str) -> None:
    path = profiles.config_path(environ)
    path.write_text(text)
    with pytest.raises(UsageFault, match=r"cli\.toml"):
        profiles.resolve(environ)


def test_commands_use_the_profile(stub: Stub, tmp_path: Path) -> None:
    env = program.environment(tmp_path)
    done = program.run(["endpoints"], env)
    assert done.code == 2
    assert "No control plane is named" in done.err
    assert "caisey up" in done.err
    profiles.write_private(tmp_path / "token", TOKEN)
    profiles.store(
        tmp_path / ".config/caisey/cli.toml", "mine", Profile(stub.url, tmp_path / "token"), make_default=True
    )
    assert "ACCT-07" in program.run(["endpoints"], env).out
    assert program.run(["endpoints", "--profile", "other"], env).code == 2
    assert program.run(["endpoints", "--url", "http://127.0.0.1:1"], env).code == 32


def test_a_wrong_token(stub: Stub, tmp_path: Path) -> None:
    done = program.run(["endpoints"], program.environment(tmp_path, stub.url, CAISEY_TOKEN="cst_other"))
    assert done.code == 32
    assert "The token is not valid" in done.err


def test_a_proxy_of_the_environment_is_no_way_to_this_machine(stub: Stub, env: dict[str, str]) -> None:
    assert (
        program.run(["endpoints"], {**env, "HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}).code
        == 0
    )

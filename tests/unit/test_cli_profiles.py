"""Settings of the command line: which of them counts, and which files are refused."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from synapse_sdk.cli import profiles
from synapse_sdk.cli.failures import Failure
from synapse_sdk.cli.profiles import Config, Options

LOCAL = {"url": "http://127.0.0.1:8600", "token": "local-token"}
STAGING = {"url": "https://staging.example.com", "token": "staging-token", "user_token": "staging-user", "timeout": 30}
CONFIG = Config(Path("config.toml"), {"local": LOCAL, "staging": STAGING, "bare": {"timeout": 5}}, "local", True)
EMPTY = Config(Path("config.toml"))
ENVIRONMENT = {"SYNAPSE_AGENT_URL": "http://variable.example.com", "SYNAPSE_AGENT_TOKEN": "variable-token"}


def resolve(
    options: Options = Options(),  # noqa: B008 - it is frozen
    environment: dict[str, str] | None = None,
    config: Config = CONFIG,
    token: str | None = None,
) -> dict[str, Any]:
    """The values that are settled on."""
    return dict(profiles.resolve(options, environment or {}, config, token).values)


def test_default_profile_is_used() -> None:
    """Without flags and variables the default profile has all."""
    assert resolve() == LOCAL


def test_no_profile_is_needed() -> None:
    """Without a file the variables have all, and an empty variable is none."""
    assert resolve(environment={**ENVIRONMENT, "SYNAPSE_TENANT": ""}, config=EMPTY) == {
        "url": "http://variable.example.com",
        "token": "variable-token",
    }


def test_variables_come_before_the_default_profile() -> None:
    """A variable comes before the default profile, and a flag before both."""
    assert resolve(environment=ENVIRONMENT)["url"] == "http://variable.example.com"
    assert resolve(Options(url="http://flag.example.com"), ENVIRONMENT)["url"] == "http://flag.example.com"
    assert resolve(Options(timeout=7), environment={}, config=CONFIG, token="flag-token") == {
        **LOCAL,
        "token": "flag-token",
        "timeout": 7,
    }


def test_named_profile_comes_before_variables() -> None:
    """A profile that a flag names comes before the variables; one that a variable names does not."""
    assert resolve(Options(profile="staging"), ENVIRONMENT) == STAGING
    named = {**ENVIRONMENT, "SYNAPSE_PROFILE": "staging"}
    assert resolve(environment=named)["url"] == "http://variable.example.com"
    assert resolve(environment={"SYNAPSE_PROFILE": "staging"}) == STAGING


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (Options(url="http://other.example.com"), {}),
        (Options(url="http://other.example.com", profile="staging"), {}),
        (Options(), {"SYNAPSE_AGENT_URL": "http://other.example.com"}),
        (Options(), {"SYNAPSE_AGENT_URL": "http://127.0.0.1:8600.example.com"}),
    ],
)
def test_tokens_of_a_profile_go_to_its_url_alone(options: Options, environment: dict[str, str]) -> None:
    """Where the URL is not the profile's, none of the profile's tokens is used, and it is known whose were not."""
    connection = profiles.resolve(options, environment, CONFIG, None)
    assert not {"token", "user_token", "tenant"} & connection.values.keys()
    assert connection.withheld == (options.profile or "local")


def test_tokens_of_a_profile_go_to_its_url_however_it_is_given() -> None:
    """The profile's tokens are used where a flag or a variable names the same URL, and where it has none itself."""
    assert resolve(Options(url="http://127.0.0.1:8600/"))["token"] == "local-token"
    tokens = Config(Path("config.toml"), {"tokens": {"token": "any-token"}}, "tokens", True)
    assert resolve(Options(url="http://other.example.com"), config=tokens)["token"] == "any-token"


def test_token_file_of_a_named_profile_comes_before_a_variable() -> None:
    """A profile's file of a token counts as its token: a variable does not come between."""
    config = Config(
        Path("config.toml"), {"staging": {"url": "https://s.example.com", "token_file": "token"}}, None, True
    )
    assert resolve(Options(profile="staging"), ENVIRONMENT, config) == config.profiles["staging"]
    own_url = {"SYNAPSE_AGENT_TOKEN": "variable-token", "SYNAPSE_PROFILE": "staging"}
    assert resolve(environment=own_url, config=config) == {"url": "https://s.example.com", "token": "variable-token"}


def test_sources_are_known() -> None:
    """Each setting knows where it came from."""
    connection = profiles.resolve(Options(timeout=3), {"SYNAPSE_AGENT_TOKEN": "variable-token"}, CONFIG, None)
    assert connection.sources == {"url": "profile local", "token": "SYNAPSE_AGENT_TOKEN", "timeout": "the command line"}


def test_unknown_profile_names_the_known() -> None:
    """A profile that is not there is refused with those that are."""
    with pytest.raises(Failure) as caught:
        resolve(Options(profile="stagin"))
    assert "no profile 'stagin'" in caught.value.message
    assert "bare, local, staging" in caught.value.hint


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 2_147_484])
def test_timeout_that_is_none(seconds: float) -> None:
    """A timeout that no socket takes is refused."""
    with pytest.raises(Failure, match="--timeout takes seconds"):
        profiles.resolve(Options(timeout=seconds), {}, EMPTY, None)


def test_secrets_do_not_show_in_a_repr() -> None:
    """Neither the profiles nor what is settled shows a token in its repr."""
    shown = repr(CONFIG) + repr(profiles.resolve(Options(profile="staging"), {}, CONFIG, None))
    assert "staging-token" not in shown
    assert "staging-user" not in shown


def test_options_before_the_command_stand_below_those_behind_it() -> None:
    """Options behind a command are laid over those before it."""
    before = Options(url="http://one.example.com", timeout=3, json=True)
    assert Options(url="http://two.example.com", debug=True).over(before) == Options(
        url="http://two.example.com", timeout=3, json=True, debug=True
    )


def test_empty_option_behind_a_command_was_given() -> None:
    """A zero or an empty text behind a command is not what stands before it, nor what the environment has."""
    assert Options(timeout=0).over(Options(timeout=3)).timeout == 0
    assert Options(url="").over(Options(url="http://one.example.com")).url == ""


@pytest.mark.parametrize(("flag", "options"), [("--url", Options(url="")), ("--profile", Options(profile=" "))])
def test_empty_flag(flag: str, options: Options) -> None:
    """An empty flag, as of a variable that is not set, is refused: another agent than was meant would be called."""
    with pytest.raises(Failure, match=f"{flag} is empty"):
        profiles.resolve(options, {"SYNAPSE_AGENT_URL": "http://one.example.com"}, CONFIG, None)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_file_is_read(tmp_path: Path) -> None:
    """A file of profiles is read with its default; without a file there are none."""
    text = 'default_profile = "local"\n[profiles.local]\nurl = "http://127.0.0.1:8600"\ntoken = "secret"\n'
    config = profiles.load(write(tmp_path / "config.toml", text))
    assert (config.default, config.profiles["local"]["token"], config.is_there) == ("local", "secret", True)
    assert profiles.load(tmp_path / "nosuch").profiles == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_file_with_a_token_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """A file with a token that others may read is refused, with the command that mends it; the token is not shown."""
    path = write(tmp_path / "config.toml", '[profiles.local]\ntoken = "hunter22"\n', mode)
    with pytest.raises(Failure) as caught:
        profiles.load(path)
    assert caught.value.hint == f"chmod 600 {path}"
    assert "hunter22" not in caught.value.message
    path.chmod(0o400)
    assert profiles.load(path).profiles["local"]["token"] == "hunter22"


def test_file_without_a_token_may_be_read(tmp_path: Path) -> None:
    """A file that only says where a token is may be read by others."""
    path = write(tmp_path / "config.toml", '[profiles.local]\ntoken_file = "token"\n', 0o644)
    assert profiles.load(path).profiles["local"]["token_file"] == "token"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[profiles.local\n", "cannot be read: "),
        ("[profiles.local]\nurl = hunter22\n", "line 2"),
        ("[profiles.local]\ntokn = 'hunter22'\n", "'tokn' of profile local is no setting"),
        ("[profiles.local]\ntoken = 5\n", "'token' of profile local must be a text"),
        ("[profiles.local]\ntimeout = '5'\n", "'timeout' of profile local must be a number"),
        ("[profiles.local]\ntimeout = -1\n", "'timeout' of profile local must be a number"),
        ("[profiles.local]\ntoken = 'hunter22'\ntoken_file = 'x'\n", "has token and token_file"),
        ("url = 'x'\n", "has 'url', which is no setting"),
        ("profiles = 5\n", "profiles must be tables"),
        ("[profiles]\nlocal = 5\n", "profiles must be tables"),
        ("default_profile = 5\n", "default_profile must be the name of a profile"),
    ],
)
def test_file_that_is_not_as_it_should_be(tmp_path: Path, text: str, expected: str) -> None:
    """What is wrong in the file is named, without what stands there, which may be a token."""
    with pytest.raises(Failure) as caught:
        profiles.load(write(tmp_path / "config.toml", text))
    assert str(tmp_path / "config.toml") in caught.value.message
    assert expected in caught.value.message
    assert "hunter22" not in caught.value.message


def test_token_file(tmp_path: Path) -> None:
    """The token of a file has no line break; a file that others may read, is empty or not there is refused."""
    path = write(tmp_path / "token", "secret-token\n")
    assert profiles.read_secret(path) == "secret-token"
    path.chmod(0o640)
    with pytest.raises(Failure) as caught:
        profiles.read_secret(path)
    assert caught.value.hint == f"chmod 600 {path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # it is the owner's to change
    with pytest.raises(Failure, match="is empty"):
        profiles.read_secret(write(tmp_path / "empty", "\n"))
    with pytest.raises(Failure, match="cannot be read"):
        profiles.read_secret(tmp_path / "nosuch")
    with pytest.raises(Failure, match="cannot be read"):
        profiles.read_secret(tmp_path)

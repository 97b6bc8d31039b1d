"""Settings of the command line: precedence, and rejected files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from synapse_agent_sdk.cli import profiles
from synapse_agent_sdk.cli.failures import CliError
from synapse_agent_sdk.cli.profiles import Config, Options

LOCAL = {"url": "http://127.0.0.1:8600", "token": "local-token"}
STAGING = {"url": "https://staging.example.com", "token": "staging-token", "user_token": "staging-user", "timeout": 30}
CONFIG = Config(Path("config.toml"), {"local": LOCAL, "staging": STAGING, "bare": {"timeout": 5}}, "local", True)
EMPTY = Config(Path("config.toml"))
OTHER = "http://other.example.com"
TOKEN_FILE = Config(Path("config.toml"), {"staging": {"url": OTHER, "token_file": "token"}}, None, True)
ENVIRONMENT = {"SYNAPSE_AGENT_URL": "http://variable.example.com", "SYNAPSE_AGENT_TOKEN": "variable-token"}
SECRETS = {"token", "user_token", "tenant"}


def test_which_setting_counts() -> None:
    """The precedence is flags, a profile named by a flag, variables, another profile; empty values are ignored."""
    variables = {"url": "http://variable.example.com", "token": "variable-token"}
    named, own_token = {"SYNAPSE_PROFILE": "staging"}, {"SYNAPSE_AGENT_TOKEN": "variable-token"}
    for options, environment, config, expected in (
        (Options(), {}, CONFIG, LOCAL),
        (Options(), ENVIRONMENT, CONFIG, variables),
        (Options(), {**ENVIRONMENT, "SYNAPSE_TENANT": ""}, EMPTY, variables),
        (Options(profile="staging"), ENVIRONMENT, CONFIG, STAGING),
        (Options(), named, CONFIG, STAGING),
        (Options(), {**ENVIRONMENT, **named}, CONFIG, {**variables, "timeout": 30}),
        (Options(url=OTHER), ENVIRONMENT, EMPTY, {**variables, "url": OTHER}),
        (Options(profile="staging"), ENVIRONMENT, TOKEN_FILE, {"url": OTHER, "token_file": "token"}),
        (Options(), {**own_token, **named}, TOKEN_FILE, {"url": OTHER, "token": "variable-token"}),
    ):
        assert profiles.resolve(options, environment, config, None).values == expected
    flags = profiles.resolve(Options(timeout=7), {}, CONFIG, "flag-token").values
    assert flags == {**LOCAL, "token": "flag-token", "timeout": 7}


def test_tokens_of_a_profile_go_to_its_url_alone() -> None:
    """If the URL is not the profile's, its tokens are not used, and the profile is recorded as withheld."""
    for options, environment in (
        (Options(url=OTHER), {}),
        (Options(url=OTHER, profile="staging"), {}),
        (Options(), {"SYNAPSE_AGENT_URL": OTHER}),
        (Options(), {"SYNAPSE_AGENT_URL": "http://127.0.0.1:8600.example.com"}),
    ):
        connection = profiles.resolve(options, environment, CONFIG, None)
        assert SECRETS.isdisjoint(connection.values)
        assert connection.withheld == (options.profile or "local")
    tokens = Config(Path("config.toml"), {"tokens": {"token": "local-token"}}, "tokens", True)  # with no URL
    for config, url in ((CONFIG, "http://127.0.0.1:8600/"), (tokens, OTHER)):
        assert profiles.resolve(Options(url=url), {}, config, None).values["token"] == "local-token"


def test_sources_are_known_and_secrets_do_not_show() -> None:
    """Each setting has a source, and no repr shows a token."""
    connection = profiles.resolve(Options(timeout=3), {"SYNAPSE_AGENT_TOKEN": "variable-token"}, CONFIG, None)
    assert connection.sources == {"url": "profile local", "token": "SYNAPSE_AGENT_TOKEN", "timeout": "the command line"}
    assert "-token" not in repr(CONFIG) + repr(connection)


def test_invalid_options() -> None:
    """An unknown profile, an empty flag and an out-of-range timeout are rejected, regardless of the environment."""
    for options, expected in (
        (Options(profile="stagin"), "No profile 'stagin' in config.toml. Available profiles: bare, local, staging."),
        (Options(url=""), "--url is empty"),
        (Options(profile=" "), "--profile is empty"),
        *((Options(timeout=seconds), "--timeout must be more than 0") for seconds in (0, float("nan"), 2_147_484)),
    ):
        with pytest.raises(CliError) as caught:
            profiles.resolve(options, ENVIRONMENT, CONFIG, None)
        assert expected in f"{caught.value.message} {caught.value.hint}"


def test_options_before_the_command_stand_below_those_behind_it() -> None:
    """Options after a command override those before it, even with a zero or an empty string."""
    before = Options(url="http://one.example.com", timeout=3, json=True)
    expected = Options(url=OTHER, timeout=3, json=True, debug=True)
    assert Options(url=OTHER, debug=True).over(before) == expected
    assert Options(url="", timeout=0).over(before) == Options(url="", timeout=0, json=True)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_files_are_read(tmp_path: Path) -> None:
    """A config file is read with its default profile, and a token file without its line break."""
    text = 'default_profile = "local"\n[profiles.local]\ntoken_file = "token"\n'
    config = profiles.load(write(tmp_path / "config.toml", text, 0o644))  # allowed without a token
    assert (config.default, config.profiles["local"]["token_file"], config.is_there) == ("local", "token", True)
    assert profiles.load(tmp_path / "nosuch").profiles == {}
    assert profiles.read_secret(write(tmp_path / "token", "secret-token\n")) == "secret-token"
    for path, message in (
        (write(tmp_path / "empty", "\n"), "is empty"),
        (tmp_path / "nosuch", "Cannot read"),
        (tmp_path, "Cannot read"),
    ):
        with pytest.raises(CliError, match=message):
            profiles.read_secret(path)


@pytest.mark.parametrize("mode", [0o640, 0o602])
def test_file_with_a_token_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """A token file that others can access is rejected, with the command that fixes it; no token is shown."""
    for name, text, load in (
        ("config.toml", '[profiles.local]\ntoken = "hunter22"\n', profiles.load),
        ("token", "hunter22\n", profiles.read_secret),
    ):
        path = write(tmp_path / name, text, mode)
        with pytest.raises(CliError) as caught:
            load(path)
        assert (caught.value.hint, "hunter22" in caught.value.message) == (f"chmod 600 {path}", False)
        assert stat.S_IMODE(path.stat().st_mode) == mode  # left for the owner to change
        path.chmod(0o400)
        assert load(path)


def test_file_that_is_not_as_it_should_be(tmp_path: Path) -> None:
    """The invalid setting in a file is named, without its value, which may be a token."""
    for text, expected in (
        ("[profiles.local]\nurl = hunter22\n", "line 2"),
        ("[profiles.local]\ntokn = 'hunter22'\n", "'tokn' of profile local is not a setting"),
        ("[profiles.local]\ntoken = 5\n", "'token' of profile local must be a string"),
        ("[profiles.local]\ntimeout = -1\n", "'timeout' of profile local must be a number"),
        ("[profiles.local]\ntoken = 'hunter22'\ntoken_file = 'x'\n", "has both token and token_file"),
        ("url = 'x'\n", "unknown setting 'url'"),
        ("[profiles]\nlocal = 5\n", "profiles must be tables"),
        ("default_profile = 5\n", "default_profile must be the name of a profile"),
    ):
        path = write(tmp_path / "config.toml", text)
        with pytest.raises(CliError) as caught:
            profiles.load(path)
        assert str(path) in caught.value.message
        assert (expected in caught.value.message, "hunter22" in caught.value.message) == (True, False)

"""Settings: where each value comes from, and what is said when one is wrong."""

from pathlib import Path

import pytest

from pumice.settings import Settings, SettingsError, documented, load, variable_of

pytestmark = pytest.mark.fast


def write(state: Path, text: str) -> Path:
    path = state / "pumice.toml"
    path.write_text(text)
    return path


def test_defaults_need_no_file(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {})
    assert settings.listen == ("127.0.0.1", 8776)
    assert settings.database_url == f"sqlite:///{tmp_path}/pumice.db"
    assert [backend.name for backend in settings.backends] == ["file"]
    assert settings.backend_path(settings.backends[0]) == tmp_path / "pool"


def test_the_environment_wins_over_the_file_and_each_value_knows_its_source(tmp_path: Path) -> None:
    path = write(tmp_path, 'region = "north"\ntoken_lifetime = 60\n[hypervisor]\ndriver = "memory"\n')
    environment = {"PUMICE_TOKEN_LIFETIME": "7200", "PUMICE_HYPERVISOR_URI": "test:///default", "HOME": "/"}
    loaded = load(tmp_path, environment)
    described = {one.name: (one.value, one.source) for one in loaded.describe()}
    assert described["token_lifetime"] == (7200, "PUMICE_TOKEN_LIFETIME")
    assert described["region"] == ("north", str(path))
    assert described["hypervisor.driver"] == ("memory", str(path))
    assert described["hypervisor.uri"] == ("test:///default", "PUMICE_HYPERVISOR_URI")
    assert described["bind"] == ("127.0.0.1:8776", "default")
    assert loaded.settings.hypervisor.uri == "test:///default"


def test_lists_come_as_json_from_the_environment(tmp_path: Path) -> None:
    environment = {
        "PUMICE_BACKENDS": '[{"name": "fast", "driver": "memory"}]',
        "PUMICE_TRUSTED_PROXIES": '["127.0.0.9"]',
    }
    settings = Settings.load(tmp_path, environment)
    assert (settings.backends[0].name, settings.backends[0].driver) == ("fast", "memory")
    assert settings.trusted_proxies == ["127.0.0.9"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regoin = 'x'", "unknown setting regoin; did you mean region?"),
        ("[hypervisor]\nurl = 'x'", "unknown setting hypervisor.url; did you mean uri?"),
        ("[[backends]]\nname = 'a'\npoolsize_gib = 3", "did you mean pool_size_gib?"),
        ("token_lifetime = 'long'", "token_lifetime"),
        ("token_lifetime = 0", "token_lifetime"),
        ("bind = 'here'", "give HOST:PORT"),
        ("public_url = 'cloud.example'", "give a URL"),
        ("tls_key = 'k.pem'", "go together"),
        ("database = 'mysql://x'", "database is wrong"),
        ("[[backends]]\nname = 'a'\n[[backends]]\nname = 'a'", "the same name"),
        ("state_directory = '/elsewhere'", "--state"),
        ("this is no TOML", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError) as refused:
        Settings.load(tmp_path, {})
    assert said in str(refused.value)


def test_wrong_variables_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PUMICE_REGOIN .*did you mean PUMICE_REGION"):
        Settings.load(tmp_path, {"PUMICE_REGOIN": "x"})
    with pytest.raises(SettingsError, match="PUMICE_TOKEN_LIFETIME='soon'"):
        Settings.load(tmp_path, {"PUMICE_TOKEN_LIFETIME": "soon"})
    with pytest.raises(SettingsError, match="is not there"):
        Settings.load(tmp_path, {}, tmp_path / "missing.toml")


def test_every_setting_explains_itself() -> None:
    assert [name for name, _, text in documented() if not text.endswith(".")] == []
    assert len({variable_of(name) for name, _, _ in documented()}) == len(list(documented()))


def test_passwords_in_urls_are_not_shown(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"PUMICE_DATABASE": "postgresql+psycopg://pumice:hidden@127.0.0.1/pumice"})
    assert "hidden" not in repr(loaded.describe())
    assert loaded.settings.database_url.endswith("pumice:hidden@127.0.0.1/pumice")

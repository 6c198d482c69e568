"""Configuration: everything at once, with key and line."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import OPENAI_VOICES, BadConfiguration, load, parse
from app.text.pronunciation import Saying
from app.units import seconds, size

SECRET = "canary-4711"


def problems(source: str, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong with a file, as a person sees it."""
    with pytest.raises(BadConfiguration) as caught:
        parse(source, environ or {})
    return [str(problem) for problem in caught.value.problems]


def test_nothing_is_enough():
    """A stranger without a file gets the local voice under all of OpenAI's names."""
    settings = parse("", {})
    assert settings.providers["local"].kind == "hibari"
    assert settings.voices["default"].aliases == OPENAI_VOICES
    assert settings.server.port == 8000
    assert settings.redis.url == ""


def test_every_mistake_at_once_with_its_line():
    """Whoever fixes a configuration does not want to start it five times to find five mistakes."""
    source = """
[server]
port = "many"
max_body = "1 elephant"

[cahce]
ttl = "1d"

[providers.eleven]
kind = "elevenlaps"
timeout = "-1s"

[voices.narrator]
chain = [{ provider = "eleven", voice = "x", speed = 2 }, { voice = "y" }]
"""
    found = problems(source)
    assert [line.split(": ")[0] for line in found] == [
        "line 3",
        "line 4",
        "line 6",
        "line 10",
        "line 11",
        "line 14",
    ]
    assert "server.port" in found[0]
    assert "64MiB" in found[1]
    assert "cahce: unknown key" in found[2]
    assert "unknown kind" in found[3]
    assert "voices.narrator.chain[1].provider: is missing" in found[5]


def test_crossed_references_are_found():
    """A chain to a provider that is not there, and an alias of two voices, would only show when somebody speaks."""
    source = """
[providers.mine]
kind = "nobody"
[voices.a]
aliases = ["b"]
chain = [{ provider = "ghost", voice = "x" }]
[voices.b]
chain = [{ provider = "local", voice = "heart" }]
"""
    found = problems(source)
    assert found[0].startswith("line 3: providers.mine.kind: unknown kind")
    assert any("line 6: voices.a.chain[0].provider: no such provider" in line for line in found)
    assert any("line 5: voices.a.aliases" in line for line in found)


def test_a_links_settings_are_checked():
    """A misspelt setting of a voice would do nothing, and nobody would hear why."""
    source = """
[providers.eleven]
kind = "elevenlabs"
api_key = "k"
[voices.a]
chain = [{ provider = "eleven", voice = "x", stability = 0.5, seed = 7, use_speaker_boost = true }]
[voices.b]
chain = [{ provider = "eleven", voice = "x", stabilty = 0.5, style = 2 }]
"""
    found = problems(source)
    assert len(found) == 2
    assert found[0].startswith("line 8: voices.b.chain[0].stabilty: stabilty is not an option")
    assert found[1].startswith("line 8: voices.b.chain[0].style: style must be a number from 0 to 1")


def test_a_kinds_own_options_are_checked():
    """A misspelt option of a vendor would otherwise silently do nothing."""
    found = problems('[providers.tones]\nkind = "scripted"\ndelai = "1s"\n')
    assert len(found) == 1
    assert "delai" in found[0]
    assert "providers.tones" in found[0]


def test_not_toml_says_where():
    """A missing quote is found by its line."""
    (found,) = problems('[server]\nhost = "127.0.0.1\n')
    assert found.startswith("line 2: not valid TOML")


def test_environment_overrides_the_file():
    """Containers are configured by environment: any key, also of a provider that only the environment names."""
    environ = {
        "REFRAIN_SERVER__PORT": "9000",
        "REFRAIN_CACHE__MEMORY": "1MiB",
        "REFRAIN_PROVIDERS__TONES__KIND": "scripted",
        "REFRAIN_VOICES__DEFAULT__CHAIN": '[{provider = "tones", voice = "a"}]',
        "PATH": "/bin",
    }
    settings = parse("[server]\nport = 1\nhost = '::1'\n", environ)
    assert (settings.server.port, settings.server.host) == (9000, "::1")
    assert settings.cache.memory == 2**20
    assert settings.providers["tones"].kind == "scripted"
    assert settings.voices["default"].chain[0].provider == "tones"


def test_an_unknown_variable_is_a_mistake():
    """REFRAIN_SEVER__PORT would otherwise be silently without effect."""
    (found,) = problems("", {"REFRAIN_SEVER__PORT": "1"})
    assert found.startswith("sever: unknown key")


def test_secrets_come_from_elsewhere_and_never_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A key in a log or in an error message is a leak."""
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("VOICE_KEY", SECRET)
    for written in (f"file:{file}", "env:VOICE_KEY", SECRET):
        base = '[providers.o]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
        settings = parse(f'{base}api_key = "{written}"\n', {})
        assert settings.providers["o"].named("o").api_key == SECRET
        assert SECRET not in repr(settings)
        assert SECRET not in repr(settings.providers["o"].named("o"))
        found = problems(f'{base}api_key = "{written}"\nattempts = 0\n')
        assert not any(SECRET in line for line in found)


def test_a_secret_that_is_not_there_says_which():
    """`env:` with a variable that is not set must not become an empty key."""
    source = (
        '[providers.o]\nkind = "openai"\nbase_url = "http://127.0.0.1:1"\napi_key = "env:NOT_SET_ANYWHERE"\n'
    )
    (found,) = problems(source)
    assert "NOT_SET_ANYWHERE is not set" in found
    assert found.startswith("line 4")


def test_a_file_without_a_secret_in_it_is_a_mistake(tmp_path: Path):
    """Keys would be hashed with one that anybody who reads Redis has, and tokens of Redis' readers be taken."""
    file = tmp_path / "secret"
    file.write_text("\n")
    (found,) = problems(f'[auth]\nmode = "keys"\nsecret = "file:{file}"\n')
    assert f"the file {file} is empty" in found


def test_a_voice_may_claim_an_alias_of_the_default():
    """Whoever configures a better `nova` must not have to rewrite the default voice for it."""
    settings = parse(
        '[voices.mine]\naliases = ["nova"]\nchain = [{ provider = "local", voice = "heart" }]\n', {}
    )
    assert "nova" not in settings.voices["default"].aliases
    assert "alloy" in settings.voices["default"].aliases


def test_half_a_table_keeps_the_other_half_of_the_default():
    """One variable for the local engine, or a new chain for the default voice, must not need all the rest repeated."""
    settings = parse("", {"REFRAIN_PROVIDERS__LOCAL__MAX_CONCURRENCY": "1"})
    assert (settings.providers["local"].kind, settings.providers["local"].max_concurrency) == ("hibari", 1)
    settings = parse('[voices.default]\nchain = [{ provider = "local", voice = "heart", model = "x" }]\n', {})
    assert settings.voices["default"].aliases == OPENAI_VOICES


def test_a_wrong_item_is_told_once_and_in_plain_words():
    """A person who forgot `voice` must not read of tuples."""
    (found,) = problems('[voices.a]\nchain = [{ provider = "local" }]\n')
    assert found == "line 2: voices.a.chain[0].voice: is missing; add it"
    assert problems("[server]\nport = 99999\n") == ["line 2: server.port: must be at most 65535"]
    assert problems("[voices.a]\nchain = 5\n") == ["line 2: voices.a.chain: must be a list"]


def test_a_named_file_must_exist(tmp_path: Path):
    """--config with a typing mistake must not run on the defaults."""
    with pytest.raises(BadConfiguration, match="no such file"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(BadConfiguration, match="no such file"):
        load(None, {"REFRAIN_CONFIG": str(tmp_path / "nowhere.toml")})


@pytest.mark.parametrize("rest", ["h:abc/0", "h:6379/0?colour=red", "[::1/0"])
def test_an_address_of_redis_that_cannot_be_one(rest: str):
    """It would be found out at the first command, in a stack trace with the password in it, or at every request."""
    with pytest.raises(BadConfiguration) as refused:
        parse(f'[redis]\nurl = "redis://user:canary@{rest}"\n', {})
    assert [(problem.path, problem.line) for problem in refused.value.problems] == [("redis.url", 2)]
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["rediss://u:p@h:1/2", "unix:///s", "redis+sentinel://a,b:2/main/1", "rediss+cluster://a:1,b:2"]
)
def test_every_kind_of_redis_is_taken(url: str):
    """An operator with a cluster would be told that it has a form that is not known."""
    assert parse(f'[redis]\nurl = "{url}"\n', {}).redis.url == url


def test_the_address_of_redis_is_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has a password in it: that belongs neither into the file nor into what is printed of the settings."""
    monkeypatch.setenv("CACHE_URL", "redis://:canary@h")
    (file := tmp_path / "url").write_text("redis+cluster://:canary@h\n")
    from_environment = parse('[redis]\nurl = "env:CACHE_URL"\n', {})
    assert from_environment.redis.url == "redis://:canary@h"
    assert parse(f'[redis]\nurl = "file:{file}"\n', {}).redis.url == "redis+cluster://:canary@h"
    assert "canary" not in repr(from_environment)
    with pytest.raises(BadConfiguration, match="NOWHERE is not set"):
        parse('[redis]\nurl = "env:NOWHERE"\n', {})
    with pytest.raises(BadConfiguration, match="names no service"):
        parse('[redis]\nurl = "redis+sentinel://h"\n', {})


def test_pronunciations_are_read():
    """An operator's list would be silently without effect, or refused for its spelling."""
    source = """
[pronunciation.any]
nginx = "engine x"
".NET" = { say = " dot net " }
"cafe\u0301" = { ipa = "kafe" }
[pronunciation.pt-BR]
"SQL" = { say = "esse", ipa = "esi" }
"""
    lists = parse(source, {"REFRAIN_PRONUNCIATION__ANY__GIF": "jif"}).pronunciation
    said = {tag: {word: (one.say, one.ipa) for word, one in words.items()} for tag, words in lists.items()}
    assert said == {
        "any": {
            "nginx": ("engine x", None),
            ".NET": ("dot net", None),
            "caf\u00e9": (None, "kafe"),
            "gif": ("jif", None),
        },
        "pt-BR": {"SQL": ("esse", "esi")},
    }
    assert lists["pt-BR"]["SQL"].saying() == Saying("esse", "esi")


def test_every_mistake_of_a_pronunciation_with_its_line():
    """Among a thousand entries nobody would find the one that is wrong."""
    source = f"""
[pronunciation.any]
"" = "x"
"..." = "x"
"a.b" = ""
"a\\nb" = "x"
{"w" * 101} = "x"
f = "{"s" * 201}"
g = {{ }}
h = {{ sya = "x" }}
i = 5
"\\u0000" = "x"
[pronunciation.klingon]
a = "b"
[pronunciation]
de = "Auto"
"""
    found = [problem.split(": ", 2) for problem in problems(source)]
    assert [(line, path) for line, path, _ in found] == [
        ("line 3", 'pronunciation.any.""'),
        ("line 4", 'pronunciation.any."..."'),
        ("line 5", 'pronunciation.any."a.b".say'),
        ("line 6", r'pronunciation.any."a\nb"'),
        ("line 7", f"pronunciation.any.{'w' * 101}"),
        ("line 8", "pronunciation.any.f.say"),
        ("line 9", "pronunciation.any.g"),
        ("line 10", "pronunciation.any.h.sya"),
        ("line 11", "pronunciation.any.i"),
        ("line 12", r'pronunciation.any."\u0000"'),
        ("line 13", "pronunciation.klingon"),
        ("line 16", "pronunciation.de"),
    ]
    words = (
        "nothing that can",
        "nothing that can",
        "nothing that can",
        "line end",
        "100",
        "200",
        "says nothing",
    )
    more = "unknown key", "must be a string or a table", "NUL", "such as", "must be a table"
    for (_, _, message), word in zip(found, [*words, *more], strict=True):
        assert word in message, message


def test_entries_that_are_one_are_refused():
    """Of two entries for one word the last would win, whichever the operator looks at."""
    source = """
[pronunciation.en]
"cafe\u0301" = "x"
" caf\u00e9" = "y"
"it\u2019s" = "x"
"it's" = "y"
"New York" = "x"
"New  York" = "y"
nginx = "x"
Nginx = "another one, for this spelling only"
[pronunciation.EN]
a = "b"
"""
    assert problems(source) == [
        'line 4: pronunciation.en." caf\u00e9": is the same entry as "cafe\u0301"; leave one of them out',
        'line 6: pronunciation.en."it\'s": is the same entry as "it\u2019s"; leave one of them out',
        'line 8: pronunciation.en."New  York": is the same entry as "New York"; leave one of them out',
        'line 11: pronunciation.EN: is the same language as "en"; put all its entries into one list',
    ]
    assert len(problems(source + '[server]\nport = "many"\n')) == 5


def test_a_voices_language_is_a_tag():
    """A voice that speaks "english" would be read without English abbreviations and entries, and nobody told."""
    source = '[voices.x]\nlanguage = "{}"\nchain = [{{ provider = "local", voice = "heart" }}]\n'
    (found,) = problems(source.format("english"))
    assert found.startswith("line 2: voices.x.language: is not a language; write a tag such as")
    assert parse(source.format("en-GB"), {}).voices["x"].language == "en-GB"


def test_what_is_said_for_code_can_be_said():
    """A page with code would end in an error of the provider, and only there."""
    (found,) = problems('[chunking]\ncode = "***"\n')
    assert found.startswith("line 2: chunking.code: has nothing that can be spoken")
    assert parse('[chunking]\ncode = ""\n', {}).chunking.code == ""


def test_a_list_without_end_is_refused():
    """A million entries would make every start slow, and every worker large."""
    entries = [f'w{number} = "x"\n' for number in range(10_001)]
    (found,) = problems(f"[pronunciation.any]\n{''.join(entries)}")
    assert found == "pronunciation: has 10001 entries; at most 10000 are read"
    assert len(parse(f"[pronunciation.any]\n{''.join(entries[1:])}", {}).pronunciation["any"]) == 10_000


def test_pauses_are_within_reason():
    """A pause of ten minutes by a slip of the pen would look like a hanging server."""
    assert parse('[chunking]\nheading_pause = "0s"\n', {}).chunking.heading_pause == 0
    for key in ("heading_pause", "paragraph_pause", "item_pause"):
        assert problems(f'[chunking]\n{key} = "11s"\n') == [f"line 2: chunking.{key}: must be at most 10"]
        assert problems(f"[chunking]\n{key} = -1\n") == [f"line 2: chunking.{key}: must be at least 0"]


def test_bit_rates_are_those_on_offer():
    """Every request would be refused, or mp3 get frames that do not join, by a slip of the pen."""
    assert parse("[sound]\nmp3_bit_rate = 96000\n", {}).sound.mp3_bit_rate == 96_000
    assert problems("[sound]\nopus_bit_rate = 63000\n") == [
        "line 2: sound.opus_bit_rate: use one of 16000, 24000, 32000, 48000, 64000, 96000 (bits per second)"
    ]
    for key in ("mp3_bit_rate", "aac_bit_rate"):
        (problem,) = problems(f"[sound]\n{key} = 63000\n")
        assert problem.startswith(f"line 2: sound.{key}: use one of 32000, 48000, 64000, 96000, 128000")


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ('mode = "none"', "auth.mode"),
        ('secret = "short"', "32"),
        ('mode = "jwt"', "jwks_url or public_key"),
        ('mode = "jwt"\njwt = { algorithms = ["none"], public_key = "x" }', "auth.jwt.algorithms"),
        ('mode = "jwt"\njwt = { algorithms = [], public_key = "x" }', "auth.jwt.algorithms"),
        ('mode = "jwt"\njwt = { algorithms = ["RS256", "HS256"], public_key = "x" }', "HS*"),
        ('mode = "jwt"\njwt = { algorithms = ["HS256"], public_key = "short" }', "too short"),
        ('jwt = { jwks_url = "https://example.org/keys", public_key = "x" }', "one of them"),
    ],
)
def test_auth_that_lets_in_the_wrong_is_refused(auth: str, said: str):
    """Tokens that anybody can sign would be taken without anyone knowing."""
    (found, *_) = problems(f"[auth]\n{auth}\n")
    assert said in found


def test_what_a_plan_leaves_out_is_as_in_the_default():
    """Whoever raises one limit of a plan would lower the others."""
    settings = parse(
        "[limits.default]\nrequests_per_minute = 7\nspend_per_month = 3.5\n"
        '[limits.plans.pro]\nrequests_per_minute = "off"\ncharge_hits = true\n',
        {},
    )
    pro, default = settings.limits_of("pro"), settings.limits_of("nobody's")
    assert (default.requests_per_minute, default.spend_per_month, default.charge_hits) == (7, 3.5, False)
    assert (pro.requests_per_minute, pro.spend_per_month, pro.charge_hits) == (None, 3.5, True)
    assert parse("", {}).limits_of("default").requests_per_minute is None, "open, and none written down"
    assert parse('[auth]\nmode = "keys"\n', {}).limits_of("default").requests_per_minute == 120


@pytest.mark.parametrize(
    ("written", "meant"), [("350ms", 0.35), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("30d", 2_592_000.0)]
)
def test_durations(written: str, meant: float):
    """Durations mean what they say."""
    assert seconds(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"), [("64MiB", 2**26), ("1MB", 10**6), ("500KB", 500_000), ("1GiB", 2**30), ("10B", 10)]
)
def test_sizes(written: str, meant: int):
    """Sizes mean what they say."""
    assert size(written) == meant


@given(st.text())
def test_no_text_breaks_the_loader(source: str):
    """Whatever is in the file, the answer is settings or a list of mistakes."""
    with suppress(BadConfiguration):
        parse(source, {})


@pytest.mark.parametrize(("written", "meant"), [('"never"', None), ('"12h"', 43_200.0)], ids=["never", "12h"])
def test_a_soft_lifetime_may_be_never(written: str, meant: float | None):
    """An operator who does not want to pay twice for a text has no other way to say so."""
    assert parse(f"[cache]\nsoft_ttl = {written}", {}).cache.soft_ttl == meant
    assert parse("", {"REFRAIN_CACHE__SOFT_TTL": written.strip('"')}).cache.soft_ttl == meant


@pytest.mark.parametrize("written", ['"always"', '"0s"', "-1", "[]"])
def test_no_other_soft_lifetime_is_taken(written: str):
    """A mistyped one would have everything made anew with every hit."""
    assert len(problems(f"[cache]\nsoft_ttl = {written}")) == 1
    assert "shared" in problems('[cache]\nscope = "mine"')[0]


def test_a_soft_lifetime_longer_than_the_hard_one_is_a_mistake():
    """Its writer believes that sound is made anew in time; it would expire instead, and somebody wait for it."""
    (problem,) = problems('[cache]\nttl = "1d"\nsoft_ttl = "7d"')
    assert problem.startswith("line 3: cache.soft_ttl: is longer than cache.ttl")
    # Beside another mistake it is told all the same, and from the environment too.
    assert len(problems('[cache]\nttl = "1d"\nsoft_ttl = "7d"\n[server]\nport = -1')) == 2
    assert len(problems("", {"REFRAIN_CACHE__TTL": "1d", "REFRAIN_CACHE__SOFT_TTL": "7d"})) == 1
    # Nobody has said anything of it here.
    assert parse('[cache]\nttl = "1d"', {}).cache.ttl == 86_400
    assert parse('[cache]\nttl = "1d"\nsoft_ttl = "1d"', {}).cache.soft_ttl == 86_400


def test_redis_may_be_given_more_time():
    """A server in another region answers after 100 ms at times, and would be taken for one that is down."""
    assert parse("", {}).redis.timeout == 0.1
    assert parse('[redis]\ntimeout = "250ms"', {}).redis.timeout == 0.25
    with pytest.raises(BadConfiguration, match="timeout"):
        parse('[redis]\ntimeout = "1h"', {})


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
def test_money_can_be_counted(value: str):
    """A budget written as infinite would be an error with every request: `off` is none."""
    for line, key, written in (
        (2, "limits.default.spend_per_month", f"[limits.default]\nspend_per_month = {value}\n"),
        (
            3,
            "providers.a.price_per_million_chars",
            f'[providers.a]\nkind = "scripted"\nprice_per_million_chars = {value}\n',
        ),
    ):
        (said,) = problems(written)
        assert said.startswith(f"line {line}: {key}: must be at ")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("[limits.default]\ncharacters_per_day = true", 'characters_per_day: write a number, or "off"'),
        ('[limits.default]\nspend_per_month = "none"', 'spend_per_month: write a number, or "off"'),
        ("[limits.plans.default]\ncharge_hits = true", "plans.default: is no plan of its own"),
        ('[limits.plans."a b"]\ncharge_hits = true', 'plans."a b": is no name; use up to 64 letters'),
        ('[server]\nallowed_hosts = ["https://a.example"]', "allowed_hosts[0]: write a name without scheme"),
        ('[server]\nallowed_origins = ["*"]', "allowed_origins[0]: write scheme and host"),
        ('[auth.jwt]\njwks_url = "ftp://a.example"', "jwks_url: write an address that begins with https"),
    ],
)
def test_a_mistake_about_users_says_how_it_is_written(source: str, said: str):
    """The operator would guess; or true would be a limit of one character, and a plan nobody has stand beside his."""
    (problem,) = problems(source)
    assert said in problem

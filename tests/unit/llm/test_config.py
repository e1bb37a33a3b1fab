# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is wrong is shown at its own line, and nothing is skipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from transect.errors import page
from transect.llm.config import Config, ConfigError, parse

PATH = Path("llm.toml")


def wrong(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, PATH)
    return str(caught.value)


@pytest.mark.parametrize("code", ["S030", "S031"])
def test_the_examples_of_its_pages(code: str) -> None:
    written = page(code)
    assert written is not None
    for bad in written.examples("bad"):
        assert re.findall(r"error\[(\w+)\]", wrong(bad)) == [code]
    for good in written.examples("good"):
        assert parse(good, PATH).policy == "vtc"


def test_an_empty_file_is_vtc_for_nobody() -> None:
    assert parse("", PATH) == Config()


def test_everything_set() -> None:
    config: Config = parse(
        """
        policy = "mine.py:Mine"
        name = "gpu0"
        cached = "uncached"
        bound = "enforce"
        params = { quota = 30, strict = true }

        [identity]
        header = "x-team"
        trusted = ["10.0.0.0/8", "::1/128"]
        unknown = "share"

        [tenants.alice]
        weight = 200
        lane = 1
        group = "acme"
        keys = ["sha256:%s"]

        [tenants.bob]
        """
        % ("0" * 64),
        PATH,
    )
    assert config.tenants["alice"].weight == 200
    assert config.tenants["bob"].weight == 100
    assert config.params == {"quota": 30, "strict": True}


def test_a_misspelt_setting() -> None:
    assert wrong('policy = "vtc"\n[tenants.a]\nweight = 3\n[tenants.b]\nwieght = 2\n') == snapshot("""\
error[S031]: no setting `wieght`
 --> llm.toml:5:1
  |
5 | wieght = 2
  | ^^^^^^^^^^ unknown
  = help: did you mean `weight`?\
""")


def test_a_value_out_of_range() -> None:
    assert wrong("[tenants.a]\nweight = 10\n\n[tenants.b]\nweight = 0\n") == snapshot("""\
error[S031]: `tenants.b.weight`: expected `int` >= 1
 --> llm.toml:5:1
  |
5 | weight = 0
  | ^^^^^^^^^^\
""")


def test_a_value_of_another_kind() -> None:
    assert wrong('[identity]\nunknown = "maybe"\n') == snapshot("""\
error[S031]: `identity.unknown`: invalid enum value 'maybe'
 --> llm.toml:2:1
  |
2 | unknown = "maybe"
  | ^^^^^^^^^^^^^^^^^
  = help: one of: 'refuse', 'share'\
""")


def test_all_mistakes_of_a_file_at_once() -> None:
    assert wrong(
        'polcy = "vtc"\n[tenants.a]\nweight = "much"\nlane = -1\n[identity]\ntrusted = "10.0.0.0/8"\n'
    ) == snapshot("""\
error[S031]: no setting `polcy`
 --> llm.toml:1:1
  |
1 | polcy = "vtc"
  | ^^^^^^^^^^^^^ unknown
  = help: did you mean `policy`?

error[S031]: `tenants.a.weight`: expected `int`, got `str`
 --> llm.toml:3:1
  |
3 | weight = "much"
  | ^^^^^^^^^^^^^^^

error[S031]: `tenants.a.lane`: expected `int` >= 0
 --> llm.toml:4:1
  |
4 | lane = -1
  | ^^^^^^^^^

error[S031]: `identity.trusted`: expected `array`, got `str`
 --> llm.toml:6:1
  |
6 | trusted = "10.0.0.0/8"
  | ^^^^^^^^^^^^^^^^^^^^^^\
""")


def test_no_toml() -> None:
    assert wrong('policy = "vtc"\n[tenants.a\n') == snapshot("""\
error[S030]: no TOML: expected ']' at the end of a table declaration
 --> llm.toml:2:1
  |
2 | [tenants.a
  | ^^^^^^^^^^
  = help: every line is `name = value` or `[table]`; texts stand in double quotes\
""")


def test_two_tenants_with_one_key() -> None:
    key = "sha256:" + "a" * 64
    assert wrong(f'[tenants.a]\nkeys = ["{key}"]\n[tenants.b]\nkeys = ["{key}"]\n') == snapshot("""\
error[S031]: `b` and `a` have the same key
 --> llm.toml:4:1
  |
4 | keys = ["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\
""")


def test_no_network() -> None:
    assert wrong('[identity]\nheader = "x"\ntrusted = ["10.0.0.1/8"]\n') == snapshot("""\
error[S031]: `identity.trusted`: 10.0.0.1/8 has host bits set
 --> llm.toml:3:1
  |
3 | trusted = ["10.0.0.1/8"]
  | ^^^^^^^^^^^^^^^^^^^^^^^^\
""")


def test_a_text_of_another_form_is_told_in_words_where_it_stands() -> None:
    assert "`tenants.a.keys[1]` is not what it has to be" in (
        said := wrong(f'[tenants.a]\nkeys = ["sha256:{64 * "0"}", "sha256:…"]\n')
    )
    assert said.endswith("= help: write the hash of a key, as `transect llm key new` prints it")


def test_a_name_that_is_none() -> None:
    assert wrong('[tenants."two words"]\n') == snapshot("""\
error[S031]: `tenants.two words` is not what it has to be
 --> llm.toml:1:1
  |
1 | [tenants."two words"]
  | ^^^^^^^^^^^^^^^^^^^^^
  = help: write letters, digits, `_`, `.`, `@` and `-`\
""")


@pytest.mark.parametrize(
    ("line", "more"),
    [
        (r'[tenants."a\"b"]', ""),
        (r'[tenants."a\u0022b"]', ""),
        ("[tenants.'a\"b']", ""),
        ('[tenants."a]b"]  # ]', ""),
        ('[ tenants . "a b" ]', "weight = 3\n"),
        (r'tenants."a=\"b".weight = 3', ""),
        ('tenants."a\tb".weight = 3', ""),
        ('"params" = 3', ""),
    ],
)
def test_a_name_is_found_however_it_is_written(line: str, more: str) -> None:
    assert " --> llm.toml:3:1\n" in wrong(f'policy = "vtc"\n\n{line}\n{more}')

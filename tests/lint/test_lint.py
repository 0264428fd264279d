# SPDX-License-Identifier: Apache-2.0
"""Each check of tests/lint finds what it is for, in a tree of a few lines."""
import pathlib

import pytest

from lint import completions, docs, functions, layers, names, sources, words
from lint.sources import ROOT

LONG_BODY = "  work();\n" * functions.LINES_MAX


@pytest.fixture
def tree(tmp_path):
    """A function that writes a file of a tree, and returns the tree's folder."""
    def write(name: str, text: str) -> pathlib.Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sources.read.cache_clear()
        return tmp_path
    return write


@pytest.mark.parametrize("text, name", [
    (f"void f() {{\n{LONG_BODY}}}\n", "f"),
    (f"namespace a {{\nstruct B {{\n  B() : x_{{1}}, y_(2) {{\n{LONG_BODY}}}\n}};\n}}\n", "B"),
    (f"template <typename T>\nstatic Task<> A::serve(T t) const {{\n{LONG_BODY}}}\n", "A::serve"),
    (f"bool A::operator==(const A& other) const {{\n{LONG_BODY}}}\n", "A::operator=="),
    (f'extern "C" {{\nstruct run* make(int n) {{\n{LONG_BODY}}}\n}}\n', "make"),
    (f'TEST_CASE("a title with a brace }}") {{\n{LONG_BODY}}}\n', "TEST_CASE"),
    (f"auto const f = [](int a) {{\n{LONG_BODY}}};\n", "?"),
    (f"#ifdef A\nint f(int a) {{\n#else\nint f() {{\n#endif\n{LONG_BODY}}}\n", "f"),
])
def test_a_long_c_function_is_found(tree, text, name):
    found = functions.check(tree("src/a.cc", text)).findings
    assert len(found) == 1 and f" {name} has " in found[0] and found[0].startswith("src/a.cc:")


@pytest.mark.parametrize("text", [
    "void f() {\n" + LONG_BODY.replace("  work();\n", "", 2) + "}\n",
    'const char* text = R"x(\nvoid f() {\n' + LONG_BODY + ')x";\n',
    "constexpr Row rows[] = {\n" + "  {1, 2},\n" * 100 + "};\n",
    "struct A {\n" + "  int a() { return 1; }\n" * 100 + "};\n",
    "/* void f() {\n" + LONG_BODY + "*/ char c = '{';\n",
])
def test_tables_texts_and_short_functions_are_not_long_functions(tree, text):
    assert not functions.check(tree("src/a.cc", text)).findings


def test_a_long_python_function_and_unmatched_braces_are_found(tree):
    tree("tests/a.py", "def f():\n" + "    work()\n" * functions.LINES_MAX)
    found = functions.check(tree("src/a.cc", "void f() {{\n}\n")).findings
    assert ["src/a.cc:1" in found[0], "tests/a.py:1 f has 71" in found[1]] == [True, True]


def small_tree(tree) -> pathlib.Path:
    for folder in ("base", "http", "core/hunt", "environment"):
        tree(f"src/{folder}/a.h", "")
        tree(f"src/{folder}/a.cc", f'#include "{folder}/a.h"\n#include <string>\n')
        tree(f"src/{folder}/meson.build", "lib = static_library('a', 'a.cc')\n")
    return tree("src/core/hunt/a.h", '#include "http/a.h"\n')


@pytest.mark.parametrize("file, text, finding", [
    ("src/http/b.h", '#include "core/hunt/a.h"\n', 'src/http may not include "core/hunt/a.h"'),
    ("src/http/b.h", '#include "../base/a.h"\n', "without ../"),
    ("src/http/b.h", '#include "base/gone.h"\n', "is not a file of src/"),
    ("src/core/hunt/b.h", "#include <liburing.h>\n", "<liburing.h> may only be included in linux"),
    ("src/core/hunt/b.h", "#include <sys/socket.h>\n", "reaches it through environment/"),
    ("src/base/a.h", '#include "base/b.h"\n', "files include each other in a circle: base/a.h -> base/b.h -> base/a.h"),
    ("src/shiny/a.h", "", "src/shiny has no row"),
    ("src/http/meson.build", "static_library('a', 'a.cc', '../base/a.cc')\n", "reaches out of its folder"),
    ("src/http/meson.build", "static_library('a', 'a.cc')\nstatic_library('b', 'a.cc')\n", "is compiled by src/http/meson.build:1 too"),
    ("src/http/b.cc", "", "no meson.build of src/ compiles it"),
    ("src/base/a.h", "#include <base/b.h>\n", "<base/b.h> is a file of src/"),
    ("src/core/hunt/meson.build", "dep_a = declare_dependency(dependencies : [dep_fmt, dep_rdkafka])\n", "dep_rdkafka"),
    ("src/core/meson.build", "dep_a = declare_dependency(dependencies : dep_redis_driver)\n", "dep_redis_driver"),
    ("systemd/meson.build", "install_subdir('../lua')\n", "reaches out of its folder"),
    ("bench/meson.build", "executable('b', '../src/base/a.cc')\n", "link its library"),
])
def test_a_wrong_include_or_build_is_found(tree, file, text, finding):
    root = small_tree(tree)
    tree("src/base/b.h", '#include "base/a.h"\n')
    sources.read.cache_clear()
    assert not layers.check(root).findings
    tree(file, text)
    found = layers.check(root).findings
    assert any(finding in line for line in found), found


def test_the_table_of_layers_has_no_circle(monkeypatch):
    assert not list(layers.check_rows())
    monkeypatch.setitem(layers.ROWS, "base", "wire")
    assert list(layers.check_rows())


@pytest.mark.parametrize("file, text, word", [
    ("src/a.cc", "// One process per birth.\n", "birth"),
    ("src/a.cc", 'log("the core was told");\n', "told"),
    ("src/a.cc", "// 0 where there is none.\n", "where"),
    ("src/a.cc", "/* Null where\n   the connection broke; empty where it failed. */\n", "where"),
    ("src/a.cc", "void disbelieve();\n", "disbelieve"),
    ("src/a.h", "// Starts per second, one process a core.\n", "a for per"),
    ("src/a.c", "// The name is no id.\n", "is no"),
    ("tests/a.py", '"""Nobody may read it."""\n', "nobody"),
    ("tests/a.py", "def test_the_birth():\n    pass\n", "birth"),
    ("docs/a.md", "The queue refuses a request.\n", "refuse"),
    ("systemd/a.service", "# On a box with Redis.\n", "box"),
    ("lua/a.lua", "-- looked at anew\n", "anew"),
])
def test_a_word_that_is_not_used_is_found(tree, file, text, word):
    found = words.check(tree(file, text)).findings
    assert len(found) == 1 and f'"{word}"' in found[0], found


@pytest.mark.parametrize("file, text", [
    ("src/a.cc", "// Prints every value and where it came from. There is no limit.\n"),
    ("src/a.cc", 'sql("select 1 from t where a = 1"); int toldness_ = 1;\n'),
    ("src/a.cc", "// Folder and bearer are other words.\n"),
    ("docs/a.md", "`told` and [a link](births.md)\n```\nwhere it is\n```\n"),
])
def test_other_words_pass(tree, file, text):
    assert not words.check(tree(file, text)).findings


def test_an_exception_excuses_its_word_and_one_that_is_not_needed_is_found(tree):
    root = tree("src/a.cc", "// A birth.\n")
    tree(words.EXCEPTIONS, "# word | path | reason\nbirth | src/*.cc | an example\n")
    assert not words.check(root).findings
    tree(words.EXCEPTIONS, "birth | src/*.cc | an example\ntold | src/*.cc | an example\n")
    assert len(words.check(root).findings) == 1


def test_the_table_counts_words_of_comments(tree):
    tree("src/a.cc", "// one if here\nint told = 1;  // and what\n")
    row = words.table(tree("README.md", "nothing\n")).splitlines()[2]
    assert row == "| src/ comments | 5 | 0.00 | 200.00 | 200.00 | 200.00 | 0.00 | 0.00 | 0.00 |"


def test_a_long_name_of_a_test_is_found(tree):
    long = "x" * 81
    tree("tests/a_test.cc", f'TEST_CASE("{long[:40]}"\n          "{long[40:]}") {{\n  SUBCASE("short") {{}}\n}}\n')
    assert len(names.check(tree("tests/test_a.py", f"def test_{long[5:]}():\n    pass\n")).findings) == 2
    assert not names.check(tree("tests/test_a.py", "def test_a():\n    pass\n")).findings[1:]


def test_a_table_of_capacity_that_is_not_of_its_figure_is_found(tree):
    for path in [ROOT / "docs" / "capacity.md", ROOT / "docs" / "benchmarks.md", *(ROOT / "docs" / "lab").glob("*.md")]:
        root = tree(str(path.relative_to(ROOT)), path.read_text())
    assert list(docs.check_capacity(root)) == []
    figures = (root / "docs" / "benchmarks.md").read_text()
    tree("docs/benchmarks.md", figures.replace("`process` holds | 4,608, 3,840 |", "`process` holds | 4,608, 3,600 |"))
    assert "its tables are not those of the figures" in "".join(docs.check_capacity(root))
    tree("docs/benchmarks.md", figures.replace("`process` holds |", "`process` manages |"))
    assert "has no figure like" in "".join(docs.check_capacity(root))


@pytest.mark.parametrize("more, finding", [
    ('command->add_option("--since", options->since, "From then on");', "does not complete --since"),
    ('command->add_flag("--all,-a", options->all, "All");', "does not complete -a"),
    ('add_period_option(*command, "--every", options->every_s, "Repeat");', "does not complete --every"),
    ('app.add_subcommand(\n      "top", "Print the busiest");', "does not complete top"),
    ('command->add_option("--groups", options->groups)->group("");', None),
])
def test_an_option_that_the_completions_lack_is_found(tree, more, finding):
    tree("src/huntctl/main.cc", 'app.add_option("-c,--config", path, "A file");\nadd_two(app, "drain");\napp.add_subcommand("lag", "");\n')
    for program, path in completions.GETOPT.items():
        tree(path, "option options[] = {{\"check\", no_argument, nullptr, 't'}, {\"once\", no_argument, nullptr, once}};\n")
        tree(f"{completions.FOLDER}/{program}", '      options="-t --check --once"\n')
    root = tree(f"{completions.FOLDER}/huntctl", '      commands="drain lag"\n      options="-h --help -c --config"\n')
    assert completions.check(root).findings == []
    tree("src/huntctl/cmd_more.cc", more)
    found = completions.check(root).findings
    assert any(finding in line for line in found) if finding else found == []
    tree("src/huntctl/main.cc", "")
    assert any("completes drain, which" in line for line in completions.check(root).findings)


@pytest.mark.parametrize("text", [
    "curl -s http://127.0.0.1:9090/readyz", 'static_configs: [{targets: ["127.0.0.1:9090"]}]', "default-server check port 9090 inter 1s",
    "health_check_config: { port_value: 9090 }", "livenessProbe:  { httpGet: { path: /livez,  port: 9090 } }",
    "the admin port (`admin.listen`, 9090)", 'admin.listen = "0.0.0.0:9090"',
])
def test_a_port_in_a_document_that_is_not_the_default_is_found(tree, text):
    tree("docs/a.md", text.replace("9090", "14868") + "\ncurl http://127.0.0.1:8080/v1/hunts\n")
    root = tree("src/config/config.h", 'std::string listen = "127.0.0.1:14868";\nstd::string listen = "127.0.0.1:14867";\n')
    assert not list(docs.check_ports(root))
    tree("docs/a.md", text + "\n")
    assert len(list(docs.check_ports(root))) == 1
    tree("docs/a.md", "")
    tree("systemd/huntd.toml", '[admin]\nlisten = "127.0.0.1:9090"\n')
    assert len(list(docs.check_ports(root))) == 1


LICENSED = "// SPDX-License-Identifier: Apache-2.0\n"


@pytest.mark.parametrize("file, text, finding", [
    ("docs/a.md", "see src/a/{b,c}.h\n", "there is no src/a/c.h"),
    ("src/a/d.h", LICENSED + "// docs/gone.md has the format\n", "there is no docs/gone.md"),
    ("tests/a.py", "# " + docs.LICENSE + '\ntext = (ROOT / "src" / "gone.h").read_text()\n', "there is no src/gone.h"),
    ("docs/man/a.1", ".Dd January 1, 2026\n.Dt A 1\n.Os\n.Sh NAME\n.Nm a\n.Nd b\n.Xx\n", "unknown macro"),
    ("docs/a.md", "[it](gone.md)\n", "leads to no file"),
    ("docs/a.md", "# One\n[it](#two)\n", "leads to no heading"),
    ("docs/decisions/0003-third.md", "", "says nothing of the missing number 2"),
    ("docs/decisions/0002-second.md", "", "does not list 0002-second.md"),
    ("src/a/e.cc", "int a;\n", "has no line SPDX"),
])
def test_a_document_that_is_wrong_is_found(tree, file, text, finding):
    tree("src/a/b.h", LICENSED)
    tree("docs/decisions/README.md", "[1](0001-first.md)\n")
    tree("docs/decisions/0001-first.md", "")
    root = tree("docs/a.md", "# The one heading\nsrc/a/b.h, src/a/*.h, src/a/NAME.h, [it](#the-one-heading)\n")
    assert not docs.check(root).findings
    tree(file, text)
    found = docs.check(root).findings
    assert any(finding in line for line in found), found

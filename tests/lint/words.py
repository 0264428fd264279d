# SPDX-License-Identifier: Apache-2.0
"""Words that this project does not use, each with the word to use instead; CONTRIBUTING.md has the glossary.

Read are comments, string literals, docstrings, log messages, documents, and, for the words marked `named`, identifiers too.
A use that has to stay is listed in words_exceptions.txt with its reason. `python3 -m lint.words --table` prints how often some
words come in 1,000 words of comments.
"""
import fnmatch
import pathlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from lint import sources
from lint.sources import ROOT, Piece, Report, read, run_alone, show

EXCEPTIONS = "tests/lint/words_exceptions.txt"
ITS_OWN = {"tests/lint/words.py", EXCEPTIONS, "tests/lint/test_lint.py"}
SUBJECT = r"(?:there|it|they|this|that|these|those|one|its \w+|an? [\w-]+|the [\w-]+(?: [\w-]+)?|\w+s|Redis|Kafka|PostgreSQL)"
VERB = (r"(?:is|are|was|were|has|have|had|does|do|did|can|cannot|can't|could|may|must|needs?|fails?|failed|gives?|comes?|came"
        r"|asks?|asked|wants?|wanted|differs?|says?|said|allows?|lets?|agrees?|matters?|keeps?)")


@dataclass(frozen=True)
class Word:
    name: str  # as words_exceptions.txt writes it
    pattern: str
    use: str
    named: str = ""  # a pattern for one word of an identifier; "": identifiers are not checked


WORDS = [
    Word("birth", r"\bbirths?\b", "start, spawn", "births?"),
    Word("born", r"\b(?:born|bears?|bore)\b", "started, spawned", "born|bore"),
    Word("rung", r"\b(?:rungs?|ladders?)\b", "isolation mode; layer", "rungs?|ladder"),
    Word("told", r"\b(?:un)?(?:tell|tells|telling|told)\b", "report, send, log; detached", "tell|tells|told|untold"),
    Word("hear", r"\b(?:hear|hears|heard|hearing)\b", "receive", "hear|heard"),
    Word("news", r"\bnews\b", "update", "news"),
    Word("said", r"\b(?:said|speaks?|spoken|spoke|speaking|speakers?)\b", "event, protocol violation; supports", "said|speakers?"),
    Word("last words", r"\blast words?\b", "final output"),
    Word("disbelieve", r"\bdisbeliev\w*", "malformed reply", "disbelieves?|disbelieved"),
    Word("greet", r"\bgreet\w*", "handshake", "greet|greeting|greeted"),
    Word("knock", r"\bknock\w*", "reconnect", "knock|knocks"),
    Word("away", r"\b(?:is|are|was|were|Redis|redis|Kafka|kafka) away\b", "unavailable, down"),
    Word("doorkeeper", r"\bdoorkeepers?\b|\bat the door\b", "authenticator", "doorkeepers?"),
    Word("lane", r"\blanes?\b", "per-hunter queue", "lanes?"),
    Word("straight function", r"\bstraight functions?\b", "one sequential coroutine"),
    Word("turn", r"\bturns? of (?:the|its|a core's) loop\b", "tick"),
    Word("lives", r"\b(?:life|lives) of (?:a|the|its|one) cores?\b", "incarnation"),
    Word("quiet", r"(?<![-\w])quiet\b", "idle, drained", "quiet"),
    Word("queue stands", r"\bqueues? (?:that )?stands?\b|\bstands? still\b", "standing queue; is stopped"),
    Word("spare", r"\b(?:un)?spares?\b", "idle worker", "spares?|unspare"),
    Word("retire", r"\b(?:retire|dismiss)\w*|\bsen[dt] away\b|\blets? go\b", "stop, detach, close, release", "retire|retired|dismiss|dismissed"),
    Word("introduce", r"\baccept(?:ing)? rests\b", "accept paused"),
    Word("books", r"\bbooks?\b", "snapshot", "books?"),
    Word("judge", r"\b(?:judg\w+|verdicts?)\b", "check, report", "judge|verdicts?"),
    Word("fold", r"\bfold(?:s|ed|ing)?\b", "batch", "fold|folded"),
    Word("gathered", r"\bgathered\b", "batch"),
    Word("bury", r"\b(?:bury|buries|buried)\b", "dead-letter", "bury|buried"),
    Word("dead record", r"\bdead[ -]records?\b", "dead letter"),
    Word("set aside", r"\bset aside\b", "dead-lettered"),
    Word("forgotten", r"\bforgot(?!ten_before|ten_generation)\w*|\bforgets?\b", "expired (the column forgotten_generation keeps its name, and so does the migration that renames forgotten_before)", "forget|forgotten"),
    Word("shelf", r"\b(?:shelf|shelves)\b", "free list", "shelf|shelves"),
    Word("box", r"\bbox(?:es)?\b(?!-)", "host, machine", "box(?:es)?"),
    Word("cure", r"\bcures?\b", "hint", "cures?"),
    Word("log field", r'^(?:because|how|cure)$|\b(?:because|how|cure)=', "reason, hint"),
    Word("cut", r"\[cut\]|\bleft_out\b", "[truncated], suppressed", ""),
    Word("mend", r"\bmend(?:s|ed|ing)?\b", "fix", "mend|mended"),
    Word("dear", r"\bdear(?:er|est)?\b", "expensive"),
    Word("passed over", r"\bpass(?:ed|es)? over\b", "ignored, skipped"),
    Word("past", r"\bpast (?:it|them|that|\d)", "above the limit, more than N"),
    Word("so many", r"\bso (?:many|long) (?:\w+ )?(?:a|per|bytes|seconds|lines|requests)\b|\bfor so long\b", "N, how long until"),
    Word("out of step", r"\bout of step\b", "out of sync"),
    Word("turned round", r"\bturned round\b", "negated"),
    Word("overdue", r"\boverdue\b", "timed out", "overdue"),
    Word("story", r"\bthe (?:story|bar)(?:'s)?\b(?! chart)", "the system it replaces, target"),
    Word("artist", r"\bartists?\b", "script author"),
    Word("said no", r"\bsays? no\b", "rejected by the script"),
    Word("answer", r"\b(?:an|the|its|their|each|every|this|that|no|first|last|stored|one|same|whose|of|all) answers?\b", "response (HTTP), reply"),
    Word("refuse", r"(?<![Cc]onnection )(?<!connections )(?<!onnection is )(?<!onnections are )\b(?:refuse[sd]?|refusing|refusals?)\b", "reject", "refuse[sd]?|refusals?"),
    Word("begun", r"\b(?:began|begun)\b", "started", "began|begun"),
    Word("nobody", r"\b(?:nobody|somebody|everybody|anybody)\b", "no process, each caller, world-readable ...", "nobody|somebody"),
    Word("whoever", r"\b(?:whoever|whatever|whomever)\b", "any core that, all waiters", "whoever|whatever"),
    Word("anew", r"\banew\b", "again", "anew"),
    Word("as it were", r"\bas it were\b", "leave it out"),
    Word("is no", r"(?<![Tt]here )(?<![Tt]here's )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|match\b)[a-z]", "is not a"),
    Word("of X's", r"\bof (?!(?:it|let|that|there|what|who)'s)[a-z]\w*'s(?=[.,;:)]|$| that\b| which\b)", "the X's Y, owned by X"),
    Word("a for per", r"\b(?:bytes|births|starts|events|hunts|records|requests|rows|times|calls|[kM]B) an? (?:second|minute|hour)\b"
                      r"|\b(?:CPU|\d[\d,.]*(?: ms| s| [µu]s)?|one (?:process|line|thread|entry|row|worker|file|command))"
                      r" an? (?:second|minute|hour|core|hunt|request|worker|hunter|connection)\b",
         "per"),
    Word("where", rf"(?:(?:^|[.;,(] )[Ww]here {SUBJECT} {VERB}\b(?! from\b)"
                  r"|\b(?:0|-?1|null|nullptr|none|None|nothing|empty|[Tt]rue|[Ff]alse|\w+Error|only|but|except|even|also|error|yes) where\b"
                  rf"|\bwhere (?:there|it|they|none|nothing|nobody) {VERB}\b(?! from\b)"
                  r"|\bwhere (?:no|not|none|nobody|nothing|needed|wanted|possible|neither|both)\b)(?! +\w+ *(?:[=<]|is null|like))",
         "if"),
]
_named = [(word, re.compile(word.named)) for word in WORDS if word.named]
# WHERE is SQL's; "7. A hunt" is a heading.
AS_WRITTEN = ("where", "of X's", "a for per")
_compiled = [(word, re.compile(word.pattern, 0 if word.name in AS_WRITTEN else re.IGNORECASE)) for word in WORDS]
_any_named = re.compile("|".join(word.named for word in WORDS if word.named))
IDENTIFIER = re.compile(r"\b[A-Za-z_]\w{3,}\b")
NOT_OURS = re.compile(r"ConnectionRefusedError|ECONNREFUSED|forgotten_before|forgotten_generation")  # names that keep these words
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def prose_of(markdown: str) -> Iterator[Piece]:
    """The paragraphs and lines of a document; addresses of links are left out, code too."""
    markdown = re.sub(r"(?ms)^ *```.*?^ *```", lambda match: "\n" * match[0].count("\n"), markdown)
    markdown = re.sub(r"`[^`\n]*`", "`x`", markdown)
    markdown = re.sub(r"\]\([^)\n]*\)|<https?:[^>]*>|https?://\S+", "]", markdown)
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.strip():
            yield Piece("prose", number, line)


def pieces_of(path: pathlib.Path) -> list[Piece]:
    if path.suffix in (".cc", ".h", ".c"):
        return sources.c_pieces(read(path))
    if path.suffix == ".py":
        return sources.python_pieces(path)
    if path.suffix == ".lua":
        return sources.lua_pieces(read(path))
    if path.suffix == ".md":
        return list(prose_of(read(path)))
    if path.suffix in (".html", ".css", ".js", ".yaml", ".json") or re.fullmatch(r"\.\d", path.suffix):  # read whole; .8: a man page
        return [Piece("prose", number, line) for number, line in enumerate(read(path).splitlines(), 1)]
    return sources.hash_pieces(read(path))


def paths_of(root: pathlib.Path) -> list[pathlib.Path]:
    code = sources.files("src", "tests", "bench", "tools", suffixes=(".cc", ".h", ".c", ".py", ".build", ".sh", ".lua", ".html", ".css", ".js",
                                                                    ".md"),
                         root=root)
    documents = sources.files("docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
                              suffixes=(".md", ".yaml", ".json", ".1", ".5", ".8"), root=root)
    others = sources.files("systemd", "lua", suffixes=(".lua", ".toml", ".service", ".socket", ".conf", ".build"), root=root)
    scripts = [path for path in (root / "dev", root / "tools" / "setup-debian", root / "meson.build") if path.is_file()]
    return [path for path in code + documents + others + scripts if show(path, root) not in ITS_OWN]


def text_of(piece: Piece, path: pathlib.Path) -> str:
    """As it is read: values that are put in ({name}) are left out, a sentence is on one line."""
    text = re.sub(r"\{[^{}\n]*\}", "{}", piece.text) if piece.kind == "string" else piece.text
    return re.sub(r"\s*\n\s*", " ", text)


def line_of(piece: Piece, found: re.Match) -> int:
    """The line of a match in the joined text: that of the same word in the piece."""
    words = re.escape(found[0].strip()).replace(r"\ ", r"\s+")
    at = re.search(words, piece.text)
    return piece.line + (piece.text.count("\n", 0, at.start()) if at else 0)


def words_in(path: pathlib.Path) -> Iterator[tuple[int, Word, str]]:
    for piece in pieces_of(path):
        text = text_of(piece, path)
        for word, pattern in _compiled:
            for found in pattern.finditer(text):
                yield line_of(piece, found), word, text[max(0, found.start() - 30):found.end() + 30].strip()


def identifiers_in(path: pathlib.Path) -> Iterator[tuple[int, Word, str]]:
    if path.suffix in (".cc", ".h", ".c"):
        code = sources.code_only(read(path))
    elif path.suffix == ".py":
        code = re.sub(r'"""(?s:.*?)"""', lambda match: re.sub(r"[^\n]", " ", match[0]), read(path))
        code = re.sub(r'#.*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', lambda match: " " * len(match[0]), code)
    else:
        return
    known: set[str] = set()
    for found in IDENTIFIER.finditer(code):
        name = found[0]
        if name in known or NOT_OURS.search(name) or not _any_named.search(name.lower()):
            continue
        known.add(name)
        parts = {part.lower() for part in PART.findall(name)}
        for word, pattern in _named:
            if any(pattern.fullmatch(part) for part in parts):
                yield code.count("\n", 0, found.start()) + 1, word, f"the name {name}"


def exceptions(root: pathlib.Path) -> list[tuple[str, str, str]]:
    """(word, pattern of paths, the line)"""
    file = root / EXCEPTIONS
    found = []
    for line in file.read_text().splitlines() if file.is_file() else []:
        if line.strip() and not line.startswith("#"):
            word, path, reason = (part.strip() for part in line.split("|", 2))
            assert reason, f"{EXCEPTIONS}: give a reason: {line}"
            found.append((word, path, line))
    return found


def check(root: pathlib.Path = ROOT) -> Report:
    findings, used, excused = [], set(), exceptions(root)
    paths = paths_of(root)
    for path in paths:
        name = show(path, root)
        for line, word, text in [*words_in(path), *identifiers_in(path)]:
            excuse = next((entry for entry in excused if entry[0] in ("*", word.name) and fnmatch.fnmatch(name, entry[1])), None)
            if excuse:
                used.add(excuse)
            else:
                findings.append(f'{name}:{line}: "{word.name}": use {word.use} (... {text} ...)')
    findings += [f"{EXCEPTIONS}: not needed any more: {entry[2]}" for entry in excused if entry not in used]
    return Report(f"{len(WORDS)} words, {len(paths)} files", findings)


TABLE = {"where": r"where", "if": r"if", "what": r"what", "one": r"one", "who/whose/whom": r"who|whose|whom", "nobody": r"nobody",
         "told": r"told"}


def table_row(name: str, text: str) -> str:
    words = len(re.findall(r"[A-Za-z][A-Za-z'-]*", text))
    per_thousand = [1000 * len(re.findall(rf"\b(?:{pattern})\b", text, re.IGNORECASE)) / max(words, 1) for pattern in TABLE.values()]
    return f"| {name} | {words:,} | " + " | ".join(f"{value:.2f}" for value in per_thousand) + " |"


def table(root: pathlib.Path) -> str:
    """How often some words come in 1,000 words: the comments of src/, and the prose of README and docs."""
    comments = " ".join(piece.text for path in sources.c_files("src", root=root) for piece in sources.c_pieces(read(path))
                        if piece.kind == "comment")
    documents = sources.files("README.md", "docs", suffixes=(".md",), root=root)
    prose = " ".join(piece.text for path in documents for piece in prose_of(read(path)))
    head = ["| | words | " + " | ".join(TABLE) + " |", "|" + " --- |" * (len(TABLE) + 2)]
    return "\n".join([*head, table_row("src/ comments", comments), table_row("README and docs", prose)])


if __name__ == "__main__":
    words = [argument for argument in sys.argv[1:] if argument != "--table"]
    folder = pathlib.Path(words[0]).resolve() if words else ROOT
    if "--table" in sys.argv:
        print(table(folder))
        sys.exit(0)
    sys.exit(run_alone("words", check(folder)))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tools/completions/ from the --help texts of the built programs, or with --check compares it with them.

Exit code 0: all files are up to date or were written; 1: --check found a difference; 77: a program is not built."""
import argparse
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tools" / "completions"
PROGRAMS = ("huntctl", "huntd", "hunt-aggregator")
# What --help does not say: that the value of these is a file, and the first argument of these commands too.
FILE_OPTIONS = {"-c", "--config", "--token-file", "--keys-file", "--svg", "--html", "--junit"}
FILE_COMMANDS = {"check", "deploy", "editor", "new", "simulate", "test", "try"}
# And that `huntctl hunt HUNT HUNTER` is short for `huntctl hunt run HUNT HUNTER`.
SHORT = {"hunt": "hunt/run"}
EXIT_SKIPPED = 77

HELP_OPTION = re.compile(r"^ +-h, *--help +", re.MULTILINE)
OPTION = re.compile(r"^ +(?P<names>-[\w-]+(?:, *-[\w-]+)*)(?: (?P<value>\S+))?")
NOT_A_VALUE = re.compile(r"REQUIRED|Excludes:|Needs:")
COMMANDS = re.compile(r"^subcommands:\n(?P<lines>(?: .*\n)+)", re.MULTILINE | re.IGNORECASE)


@dataclass
class Option:
    names: list[str]
    about: str
    has_value: bool


@dataclass
class Command:
    path: str  # "hunt/run"; empty: the program itself
    options: list[Option]
    commands: list[tuple[str, str]] = field(default_factory=list)  # name, about


def parse_options(text: str) -> Iterator[Option]:
    """The options of a --help text. Its descriptions begin in the column of that of --help, or there in the next line."""
    helps = HELP_OPTION.search(text)
    if helps is None:
        sys.exit(f"a help text has no -h, --help:\n{text}")
    column = helps.end() - helps.start()
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""]):
        if not (whole := OPTION.match(line)):
            continue
        if following.startswith(" " * column):
            left, about = line, following.strip()
        else:
            left, about = line[:column], line[column:].strip()
        found = OPTION.match(left) or whole
        value = found["value"] or ""
        yield Option(re.split(", *", found["names"]), about, bool(value) and not NOT_A_VALUE.match(value))


def help_of(program: pathlib.Path, path: str) -> str:
    done = subprocess.run([str(program), *filter(None, path.split("/")), "--help"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"{program.name} {path} --help: {done.stderr.strip()}")
    return done.stdout


def read_commands(program: pathlib.Path, path: str = "") -> Iterator[Command]:
    """A command and those below it."""
    text = help_of(program, path)
    found = COMMANDS.search(text)
    names = [tuple(re.split(" +", line.strip(), maxsplit=1)) for line in found["lines"].splitlines()] if found else []
    yield Command(path, list(parse_options(text)), names)
    for name, _ in names:
        yield from read_commands(program, f"{path}/{name}".strip("/"))


def add_options(command: Command, others: list[Option]) -> None:
    own = {name for option in command.options for name in option.names}
    command.options += [option for option in others if own.isdisjoint(option.names) and "--version" not in option.names]


def all_commands(program: pathlib.Path) -> list[Command]:
    """With the options of the program, which may also stand behind a command."""
    commands = list(read_commands(program))
    known = {command.path: command for command in commands}
    for command in commands:
        if command.path in SHORT:
            add_options(command, known[SHORT[command.path]].options)
        add_options(command, commands[0].options)
    return commands


def valued(commands: list[Command]) -> list[str]:
    """The options with a value; COMMAND:OPTION if the option has none in another command."""
    options = [(command.path, name, option.has_value) for command in commands for option in command.options for name in option.names]
    flags = {name for _, name, has_value in options if not has_value}
    return sorted({f"{path}:{name}" if name in flags else name for path, name, has_value in options if has_value})


def paths(commands: list[Command]) -> list[str]:
    return [command.path for command in commands if command.path]


def head(name: str, shell: str) -> str:
    return f"# SPDX-License-Identifier: Apache-2.0\n# {name} in {shell}. Written by `./dev docs` (tools/make_completions.py) from --help.\n"


def function_of(name: str) -> str:
    return "_" + name.replace("-", "_")


def single_quoted(text: str) -> str:
    """As bash and zsh read it."""
    return "'" + text.replace("'", "'\\''") + "'"


def pattern(names: set[str], known: list[str]) -> str:
    """For `case` of a shell: those of the names that are known."""
    return "|".join(sorted(names & set(known))) or "none"


def bash_case(command: Command) -> str:
    options = " ".join(name for option in command.options for name in option.names)
    words = " ".join(name for name, _ in command.commands)
    return f'    "{command.path}")\n      commands="{words}"\n      options="{options}" ;;\n'


def bash(name: str, commands: list[Command]) -> str:
    known = " ".join(paths(commands))
    files, file_commands = pattern(FILE_OPTIONS, valued(commands)), pattern(FILE_COMMANDS, paths(commands))
    return head(name, "bash") + f"""{function_of(name)}() {{
  local valued=" {' '.join(valued(commands))} " known=" {known} "
  local current=${{COMP_WORDS[COMP_CWORD]}} command="" option="" arguments=0 commands="" options="" word at
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=${{COMP_WORDS[at]}}
    if [[ -n $option && $word == "=" ]]; then continue; fi
    if [[ -n $option && $word != -* ]]; then option=""; continue; fi
    option=""
    if [[ $word == -* ]]; then
      if [[ $valued == *" $word "* || $valued == *" $command:$word "* ]]; then option=$word; fi
    elif ((arguments == 0)) && [[ $known == *" ${{command:+$command/}}$word "* ]]; then
      command=${{command:+$command/}}$word
    else
      arguments=$((arguments + 1))
    fi
  done
  if [[ $current == "=" ]]; then current=""; fi
  if [[ $current == -* ]]; then option=""; fi
  case $option in
    {files})
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      compopt -o filenames 2>/dev/null
      return 0 ;;
    ?*) return 0 ;;
  esac
  case $command in
{''.join(map(bash_case, commands))}  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif ((arguments == 0)); then
    case $command in
      {file_commands})
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames 2>/dev/null ;;
      *) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current") ;;
    esac
  fi
}}
complete -F {function_of(name)} {name}
"""


def zsh_case(command: Command) -> str:
    options = [single_quoted(f"{name}:{option.about}") for option in command.options for name in option.names]
    words = [single_quoted(f"{name}:{about}") for name, about in command.commands]
    lines = [f"    ({single_quoted(command.path)})"]
    if words:
        lines += ["      commands=(", *(f"        {word}" for word in words), "      )"]
    lines += ["      options=(", *(f"        {word}" for word in options), "      ) ;;"]
    return "\n".join(lines) + "\n"


def zsh(name: str, commands: list[Command]) -> str:
    files, file_commands = pattern(FILE_OPTIONS, valued(commands)), pattern(FILE_COMMANDS, paths(commands))
    return f"#compdef {name}\n" + head(name, "zsh") + f"""{function_of(name)}() {{
  local valued=" {' '.join(valued(commands))} " known=" {' '.join(paths(commands))} "
  local command="" option="" word
  local -i arguments=0 at
  local -a commands options
  for ((at = 2; at < CURRENT; at++)); do
    word=${{words[at]}}
    if [[ -n $option && $word != -* ]]; then option=""; continue; fi
    option=""
    if [[ $word == -* ]]; then
      if [[ $valued == *" $word "* || $valued == *" $command:$word "* ]]; then option=$word; fi
    elif ((arguments == 0)) && [[ $known == *" ${{command:+$command/}}$word "* ]]; then
      command=${{command:+$command/}}$word
    else
      ((arguments += 1))
    fi
  done
  if [[ $PREFIX == -* ]]; then option=""; fi
  if [[ $PREFIX == --*=* ]]; then
    option=${{PREFIX%%=*}}
    compset -P 1 '*='
  fi
  case $option in
    ({files}) _files; return ;;
    (?*) _message "value of $option"; return ;;
  esac
  case $command in
{''.join(map(zsh_case, commands))}  esac
  if [[ $PREFIX == -* ]]; then
    _describe -o option options
  elif ((arguments == 0)); then
    case $command in
      ({file_commands}) _files ;;
      (*) if (($#commands)); then _describe command commands; fi ;;
    esac
  fi
}}
{function_of(name)} "$@"
"""


def fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_lines(name: str, command: Command) -> Iterator[str]:
    at = f'_{function_of(name)}_at "{command.path}"'
    for word, about in command.commands:
        yield f"complete -c {name} -n '{at} 0' -a {word} -d {fish_quoted(about)}"
    if command.path in FILE_COMMANDS:
        yield f"complete -c {name} -n '{at} 0' -F"
    for option in command.options:
        words = [f"-{'l' if word.startswith('--') else 's'} {word.lstrip('-')}" for word in option.names]
        value = (" -r -F" if FILE_OPTIONS & set(option.names) else " -x") if option.has_value else ""
        yield f"complete -c {name} -n '{at}' {' '.join(words)}{value} -d {fish_quoted(option.about)}"


def fish(name: str, commands: list[Command]) -> str:
    lines = "\n".join(line for command in commands for line in fish_lines(name, command))
    return head(name, "fish") + f"""# True if the words before the cursor are of the command PATH, and have at most MAX arguments behind it.
function _{function_of(name)}_at --argument-names path max
    set -l valued {' '.join(valued(commands))}
    set -l known {' '.join(paths(commands))}
    set -l words (commandline -opc)
    set -l command ''
    set -l arguments 0
    set -l skip no
    for word in $words[2..]
        if test $skip = yes; and not string match -q -- '-*' $word
            set skip no
        else if string match -q -- '-*' $word
            set skip no
            contains -- $word $valued; or contains -- "$command:$word" $valued; and set skip yes
        else
            set -l longer (string join -n / "$command" $word)
            if test $arguments -eq 0; and contains -- $longer $known
                set command $longer
            else
                set arguments (math $arguments + 1)
            end
        end
    end
    test "$command" = "$path"; and begin
        test -z "$max"; or test $arguments -le $max
    end
end
complete -c {name} -f
{lines}
"""


FILES: dict[str, tuple[Callable[[str, list[Command]], str], str]] = {
    "bash": (bash, "bash/{}"), "zsh": (zsh, "zsh/_{}"), "fish": (fish, "fish/{}.fish")}


def texts(programs: dict[str, pathlib.Path]) -> Iterator[tuple[str, str]]:
    """The files below tools/completions: name, content."""
    for name, program in programs.items():
        commands = all_commands(program)
        for write, pattern in FILES.values():
            yield pattern.format(name), write(name, commands)


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the shell completions, or checks them.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is out of date")
    parser.add_argument("build_dir", nargs="?", default=ROOT / "build" / "release", type=pathlib.Path)
    options = parser.parse_args()
    programs = {name: options.build_dir / name for name in PROGRAMS}
    if missing := [str(path) for path in programs.values() if not path.is_file()]:
        print(f"there is no {missing[0]}: run ./dev build release first")
        return EXIT_SKIPPED if options.check else 1
    stale = []
    for name, text in texts(programs):
        path = FOLDER / name
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(path)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'is out of date: run ./dev docs' if options.check else 'updated'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

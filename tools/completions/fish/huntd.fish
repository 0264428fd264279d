# SPDX-License-Identifier: Apache-2.0
# huntd in fish. Written by `./dev docs` (tools/make_completions.py) from --help.
# True if the words before the cursor are of the command PATH, and have at most MAX arguments behind it.
function __huntd_at --argument-names path max
    set -l valued --config -c
    set -l known 
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
complete -c huntd -f
complete -c huntd -n '__huntd_at ""' -s c -l config -r -F -d 'config file (default: /etc/huntd/huntd.toml)'
complete -c huntd -n '__huntd_at ""' -s t -l check -d 'check the config and compile every script; change nothing'
complete -c huntd -n '__huntd_at ""' -l print-config -d 'print the effective values, each with its origin'
complete -c huntd -n '__huntd_at ""' -l version -d 'print the version, the kernel, and which io_uring features it has'
complete -c huntd -n '__huntd_at ""' -s h -l help -d 'print this text'

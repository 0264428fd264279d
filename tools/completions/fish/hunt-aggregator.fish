# SPDX-License-Identifier: Apache-2.0
# hunt-aggregator in fish. Written by `./dev docs` (tools/make_completions.py) from --help.
# True if the words before the cursor are of the command PATH, and have at most MAX arguments behind it.
function __hunt_aggregator_at --argument-names path max
    set -l valued --config --postgres -c
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
complete -c hunt-aggregator -f
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -s c -l config -r -F -d 'the configuration (/etc/huntd/huntd.toml)'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -l once -d 'merge the events that exist now, then exit'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -s t -l check -d 'check the configuration, change nothing'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -l print-config -d 'print every value and its origin'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -l migrate -d 'create or upgrade the tables, grant the rights, then exit'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -l postgres -x -d 'the connection for that, instead of aggregator.postgres'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -l print-schema -d 'print what --migrate does, as SQL for psql; without -c, of the defaults'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -l version -d 'print the version'
complete -c hunt-aggregator -n '__hunt_aggregator_at ""' -s h -l help -d 'print this'

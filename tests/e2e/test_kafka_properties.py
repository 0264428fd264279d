# SPDX-License-Identifier: Apache-2.0
"""librdkafka's properties in the config file, checked by every program before it does anything. Without a broker."""
import re
import subprocess

import pytest

from aggregator_pipeline import aggregator_program, huntctl_program

GOOD = """
[kafka.properties]
"security.protocol" = "SASL_SSL"
sasl.mechanism = "SCRAM-SHA-256"
sasl.username = "huntd"
sasl.password = "tide and moon"
[kafka.consumer]
max.poll.interval.ms = 600000
group.instance.id = "a"
[kafka.producer]
compression.type = "zstd"
partitioner = "murmur2"
"""
BAD = [
    ('[kafka.properties]\nsecurity.protcol = "ssl"', r":7: kafka\.properties\.security\.protcol: .*did you mean security\.protocol\?"),
    ('[kafka.properties]\nsecurity.protocol = "tls"', r":7: kafka\.properties\.security\.protocol: librdkafka: .*tls"),
    ("[kafka.consumer]\nlinger.ms = 5", r":7: kafka\.consumer\.linger\.ms: cannot be set: set kafka\.linger_ms"),
    ("[kafka.consumer]\nbatch.size = 5", r":7: kafka\.consumer\.batch\.size: is a property of producers"),
    ("[kafka.producer]\nacks = 1", r":7: kafka\.producer\.acks: must be \"all\": an event leaves the outbox"),
    ("[kafka.properties]\nenable.idempotence = false", r":7: kafka\.properties\.enable\.idempotence: must be true: "),
    ("[kafka.consumer]\nenable.auto.commit = true", r":7: kafka\.consumer\.enable\.auto\.commit: must be false: "),
    ('[kafka.properties]\nplugin.library.paths = "x.so"', r":7: kafka\.properties\.plugin\.library\.paths: cannot be set: "),
]


@pytest.fixture
def config(tmp_path):
    """A function that writes a config and returns its path; `text` begins in line 6."""
    def write(text: str):
        hunts = tmp_path / "hunts"
        hunts.mkdir(exist_ok=True)
        (hunts / "a.lua").write_text("return function(hunt) end")
        path = tmp_path / "huntd.toml"
        path.write_text(f'[hunts]\ndir = "{hunts}"\n[kafka]\nbootstrap = "127.0.0.1:1"\n\n{text.lstrip()}\n')
        return path
    return write


def run(*words) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)


def test_good_properties_are_accepted_by_both_servers(huntd_program, config):
    for program in (huntd_program, aggregator_program()):
        done = run(program, "-t", "-c", config(GOOD))
        assert done.returncode == 0, done.stderr
        assert "tide" not in done.stdout + done.stderr


@pytest.mark.parametrize("text, reported", BAD)
def test_a_bad_property_is_rejected_by_all_programs_with_file_and_line(huntd_program, config, text, reported):
    path = config(text)
    for words in ([huntd_program, "-t"], [huntd_program], [aggregator_program(), "-t"], [aggregator_program()]):
        done = run(*words, "-c", path)
        assert done.returncode == 78, (words, done)
        assert re.search(r"huntd\.toml" + reported, done.stderr), (words, done.stderr)
    done = run(huntctl_program(), "-c", path, "status")
    assert done.returncode == 2, done
    assert re.search(r"huntd\.toml" + reported, done.stdout + done.stderr), done


def test_properties_that_do_not_fit_together_are_rejected_before_the_start(huntd_program, config):
    path = config('[kafka.properties]\nsecurity.protocol = "ssl"\nssl.ca.location = "/nonexistent/ca.pem"')
    for program in (huntd_program, aggregator_program()):
        done = run(program, "-t", "-c", path)
        assert done.returncode == 78 and "ssl.ca.location" in done.stderr, done


def test_a_secret_has_a_private_file_and_is_never_printed(huntd_program, config, tmp_path):
    secret = tmp_path / "kafka-password"
    secret.write_text("tide and moon\n")
    path = config(GOOD.replace('sasl.password = "tide and moon"', f'sasl.password_file = "{secret}"'))
    for mode, status in ((0o644, 78), (0o640, 0)):
        secret.chmod(mode)
        for program in (huntd_program, aggregator_program()):
            done = run(program, "-t", "-c", path)
            assert done.returncode == status, done.stderr
            assert ("kafka.properties.sasl.password_file" in done.stderr and "chmod" in done.stderr) == (status == 78)
            assert "tide" not in done.stdout + done.stderr


def test_print_config_hides_secrets_and_names_the_lines(huntd_program, config):
    for program in (huntd_program, aggregator_program()):
        done = run(program, "--print-config", "-c", config(GOOD))
        assert done.returncode == 0 and "tide" not in done.stdout
        assert re.search(r'"sasl\.password" = "\(hidden\)"  # .*huntd\.toml:10\n', done.stdout), done.stdout
        assert re.search(r'"compression\.type" = "zstd"  # .*huntd\.toml:15\n', done.stdout), done.stdout

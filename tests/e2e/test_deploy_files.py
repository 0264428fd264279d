# SPDX-License-Identifier: Apache-2.0
"""deploy/: the files for containers and Kubernetes, as far as they can be tried without a cluster and without a network. A tool that is
absent skips its test, with the reason."""
import copy
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from client import run_hunt
from conftest import PATIENT
from harness import name_server
from harness.huntd_stack import ROOT, build_folder
from harness.process import find_program, wait_until
from harness.prometheus_server import PrometheusServer

DEPLOY = ROOT / "deploy"
FOLDER = DEPLOY / "kubernetes"
PROFILE = json.loads((DEPLOY / "seccomp.json").read_text())
UNDER_SECCOMP = ROOT / "tests" / "harness" / "under_seccomp.py"
# What lets a process leave its container, or see others.
NEVER = {"mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "ptrace", "process_vm_readv", "process_vm_writev", "bpf",
         "perf_event_open", "keyctl", "add_key", "request_key", "init_module", "finit_module", "delete_module", "kexec_load", "reboot",
         "swapon", "userfaultfd", "open_by_handle_at", "name_to_handle_at", "personality", "modify_ldt", "io_submit", "socketcall"}


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict]:
    """What `kubectl apply -k` would send, by kind."""
    try:
        kubectl = find_program("kubectl")
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict] = {}
    for document in yaml.safe_load_all(done.stdout):
        kind = document["kind"]
        found[kind if kind not in found else f"{kind} 2"] = document
    return found


def pod(manifests) -> dict:
    return manifests["Deployment"]["spec"]["template"]["spec"]


def config_of(manifests) -> dict:
    [text] = [document["data"]["huntd.toml"] for document in manifests.values() if "huntd.toml" in document.get("data", {})]
    return tomllib.loads(text)


def test_the_parts_fit_together(manifests):
    assert set(manifests) == {"ConfigMap", "ConfigMap 2", "Deployment", "Service", "PodDisruptionBudget", "ScaledObject"}
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels and manifests["Service"]["spec"]["selector"] == labels
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert pod(manifests)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == labels
    assert manifests["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == manifests["Deployment"]["metadata"]["name"]
    assert "replicas" not in manifests["Deployment"]["spec"], "KEDA sets it"
    [container] = pod(manifests)["containers"]
    volumes = {volume["name"]: volume for volume in pod(manifests)["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    names = {document["metadata"]["name"] for kind, document in manifests.items() if kind.startswith("ConfigMap")}
    assert {volumes[name]["configMap"]["name"] for name in ("config", "hunts")} == names, "the names with the hash"


def test_probes_ports_and_times_are_those_of_the_config(manifests):
    config, [container] = config_of(manifests), pod(manifests)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert config["http"]["listen"] == f"0.0.0.0:{ports['http']}" and config["admin"]["listen"] == f"0.0.0.0:{ports['admin']}"
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == "http", "the admin port is not in the Service"
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}
    drain_s = (config["http"]["drain_delay_ms"] + config["http"]["drain_deadline_ms"]) / 1000
    assert pod(manifests)["terminationGracePeriodSeconds"] >= drain_s + 10
    readiness = container["readinessProbe"]
    assert 1000 * readiness["periodSeconds"] * (readiness["failureThreshold"] + 1) <= config["http"]["drain_delay_ms"]
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    for path in (config["auth"]["jwks_file"], config["redis"]["password_file"], config["hunts"]["dir"] + "/x"):
        assert path.rsplit("/", 1)[0] in paths, path


def test_the_pod_may_do_nothing_that_it_does_not_need(manifests):
    spec, [container] = pod(manifests), pod(manifests)["containers"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"]["type"] == "Localhost" and not spec["automountServiceAccountToken"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    [secret] = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert secret["defaultMode"] & 0o007 == 0, "huntd rejects a secret that every user may read"


def test_the_manifests_have_the_fields_that_kubernetes_knows(manifests):
    validator = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate (PyPI)")
    for kind, document in manifests.items():
        if kind != "ScaledObject":  # KEDA's own
            validator.validate(document, "1.29", strict=True)


def test_huntd_takes_the_config_and_the_hunts_as_kubernetes_mounts_them(manifests, tmp_path):
    """A config map is a folder of links to ..data, itself a link."""
    hunts, auth, redis = (tmp_path / name for name in ("hunts", "auth", "redis"))
    write_config_map(hunts, {name: text for document in manifests.values() for name, text in document.get("data", {}).items()
                             if name.endswith(".lua")})
    key = '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'  # of RFC 8037, appendix A
    write_config_map(auth, {"jwks.json": f'{{"keys":[{key}]}}'})
    write_config_map(redis, {"password": "x" * 30}, 0o440)
    text = next(document["data"]["huntd.toml"] for document in manifests.values() if "huntd.toml" in document.get("data", {}))
    config = tmp_path / "huntd.toml"
    config.write_text(text.replace("/etc/huntd", str(tmp_path)))
    done = subprocess.run([str(build_folder() / "huntd"), "-t", "-c", str(config)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "ok; 1 hunts" in done.stdout, done


def write_config_map(folder, files: dict[str, str], mode: int = 0o644) -> None:
    data = folder / "..2026_12_01"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    for name, text in files.items():
        (data / name).write_text(text)
        (data / name).chmod(mode)
        (folder / name).symlink_to(f"..data/{name}")


def test_keda_asks_prometheus_for_the_requests_of_all_replicas(manifests, own_stack, tmp_path, servers):
    [trigger] = manifests["ScaledObject"]["spec"]["triggers"]
    assert (trigger["type"], trigger["metricType"], trigger["metadata"]["threshold"]) == ("prometheus", "AverageValue", "500")
    window_min = re.search(r"\[(\d+)m\]", trigger["metadata"]["query"])
    assert window_min and int(window_min[1]) >= 2, "two samples at Prometheus' default scrape_interval of 1m"
    assert trigger["metadata"]["ignoreNullValues"] == "false", "a wrong job is not a host without load"
    stack = own_stack().start()
    try:
        prometheus = PrometheusServer(tmp_path / "prometheus", {"huntd": stack.admin})
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    servers.append(prometheus)
    prometheus.start()

    def rate() -> float:
        """What KEDA takes: one number."""
        for number in range(20):
            assert run_hunt(stack.http, "gold", f"h{number}").status == 200
        found = prometheus.query(trigger["metadata"]["query"])
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else 0.0

    per_s = wait_until(rate, 90, "a rate", 0.2)
    by_code = "sum by (code) (rate(huntd_http_requests_total{job=\"huntd\"}[2m]))"
    assert {row["metric"]["code"] for row in prometheus.query(by_code)} >= {"2xx", "5xx"}
    assert math.ceil(per_s / float(trigger["metadata"]["threshold"])) >= 1, "a value above zero asks for a replica"


@pytest.mark.parametrize("isolation", ["process", "fork", "task", "batch"])
def test_huntd_runs_under_the_profile(own_stack, isolation):
    stack = own_stack(settings={**PATIENT, "worker.isolation": isolation}, before_huntd=[sys.executable, str(UNDER_SECCOMP), str(DEPLOY / "seccomp.json")])
    stack.start()
    assert re.search(r"^Seccomp:\t2$", (stack_status := open(f"/proc/{stack.huntd.pid}/status").read()), re.MULTILINE), stack_status
    for hunt in ("gold", "mixed", "pair", "scarce"):
        for number in range(4):
            assert run_hunt(stack.http, hunt, f"h{number}", key=f"{hunt}-{number}").status == 200
    assert run_hunt(stack.http, "forever", "h").problem == "deadline-passed"
    assert run_hunt(stack.http, "greedy", "h").problem == "script-out-of-memory"
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reload"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert run_hunt(stack.http, "gold", "again").status == 200
    assert stack.huntd.stop() == 0
    assert "Operation not permitted" not in stack.huntd.log_text(), stack.huntd.log_tail(30)


@pytest.mark.skipif(bool(name_server.why_not()), reason=name_server.why_not() or "-")
def test_servers_by_name_are_found_under_the_profile(own_stack, tmp_path):
    """getaddrinfo() asks for IPv4 and IPv6 addresses in one sendmmsg(). librdkafka calls it too."""
    with name_server.NameServer(tmp_path / "names") as names:
        names.answers |= {f"{each}.test": ["127.0.0.1"] for each in ("redis", "kafka")}
        before = [*names.before, sys.executable, str(UNDER_SECCOMP), str(DEPLOY / "seccomp.json")]
        stack = own_stack(before_huntd=before, aggregator=True, kafka=True)
        stack.settings["redis.address"] = f"redis.test:{stack.redis.port}"
        command = stack.aggregator.command()
        stack.aggregator.command = lambda: [*before, *command]
        stack.start_stores()
        stack.set(kafka__bootstrap=f"kafka.test:{stack.settings['kafka.bootstrap'].rpartition(':')[2]}")
        stack.aggregator.launch()
        stack.huntd.start()
        stack.aggregator.await_ready()
        assert run_hunt(stack.http, "gold", "ada").status == 200
        wait_until(lambda: stack.postgres.sql("select count(*) from hunt_session where hunter_id = 'ada'") == [["1"]], 60, "the row")
        assert {"redis.test", "kafka.test"} <= set(names.asked)
        assert stack.huntd.stop() == 0 and stack.aggregator.stop() == 0
        for log in (stack.huntd.log_text(), stack.aggregator.log_text()):
            assert "Operation not permitted" not in log, log


def under(profile: dict, tmp_path, *command: str) -> subprocess.CompletedProcess:
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(profile))
    return subprocess.run([sys.executable, str(UNDER_SECCOMP), str(file), *command], capture_output=True, text=True, timeout=60)


def test_the_profile_permits_io_uring_and_no_way_out(tmp_path):
    allowed = {name for rule in PROFILE["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert {"io_uring_setup", "io_uring_enter", "io_uring_register"} <= allowed
    # What glibc's resolver and select() call, and a log whose pipe is another user's.
    assert {"sendmmsg", "pselect6", "pwritev2"} <= allowed
    assert not NEVER & allowed
    version = [str(build_folder() / "huntd"), "--version"]
    assert "io_uring: " in (done := under(PROFILE, tmp_path, *version)).stdout, done
    less = copy.deepcopy(PROFILE)
    for rule in less["syscalls"]:
        rule["names"] = [name for name in rule["names"] if not name.startswith("io_uring")]
    assert "forbidden by a seccomp filter" in (done := under(less, tmp_path, *version)).stdout, done


def test_the_profile_forbids_new_namespaces(tmp_path):
    """By unshare(), and by clone() with their flags; a plain clone() is allowed."""
    probe = ("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
             "print(libc.unshare(0x10000000), ctypes.get_errno())\n"
             "print(libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0), ctypes.get_errno())\n"
             "child = libc.syscall(56, 17, 0, 0, 0, 0)\n"
             "os._exit(0) if child == 0 else print(os.waitpid(child, 0)[1])\n")
    done = under(PROFILE, tmp_path, sys.executable, "-c", probe)
    assert done.stdout.splitlines() == ["-1 1", "-1 1", "0"], done


def test_buildah_builds_the_image(tmp_path):
    """With a base image of this machine's own, HUNTD_BASE_IMAGE: no registry is reached here."""
    if shutil.which("buildah") is None:
        pytest.skip("no buildah (package buildah)")
    base = os.environ.get("HUNTD_BASE_IMAGE") or pytest.skip("no base image: set HUNTD_BASE_IMAGE to a Debian image that buildah has")
    done = subprocess.run(["buildah", "build", "-f", str(DEPLOY / "Containerfile"), "--build-arg", f"BASE={base}", "-t", "huntd-test", str(ROOT)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_containerfile_has_two_stages_and_no_root():
    lines = [line.split() for line in (DEPLOY / "Containerfile").read_text().splitlines() if line and not line.startswith(("#", " "))]
    assert [words[0] for words in lines].count("FROM") == 2 and "AS" in next(words for words in lines if words[0] == "FROM")
    last = {words[0]: words[1:] for words in lines}
    assert last["USER"] == ["65532:65532"] and "/usr/bin/huntd" in " ".join(last["ENTRYPOINT"])
    [copied] = [words for words in lines if words[0] == "COPY" and "--from=build" in words]
    assert copied[2].endswith("build/package/huntd_*.deb"), "not the debug symbols, huntd-dbgsym_*"
    ignored = (ROOT / ".containerignore").read_text().split()
    assert {"/build", "/.git"} <= set(ignored)

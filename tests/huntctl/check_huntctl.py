# SPDX-License-Identifier: Apache-2.0
"""huntctl as its users run it: against an admin port with sample figures and a public port that responds as huntd does.

    check_huntctl.py HUNTCTL SERVE_SAMPLE
"""
import http.server
import json
import pathlib
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock
import xml.dom.minidom

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from harness.terminal import run_in_terminal  # noqa: E402

HUNTCTL, SERVE_SAMPLE = sys.argv[1], sys.argv[2]
UNUSED = "127.0.0.1:1"  # tcpmux: no server listens
BUNDLE = "00112233445566778899aabbccddeeff"
OUTCOME = {"loot": [{"loot_id": "acorn", "event_id": "e1"}], "result": None, "replayed": False}


def huntctl(*arguments):
    return subprocess.run([HUNTCTL, *arguments], capture_output=True, text=True, timeout=60)


def in_terminal(*arguments):
    """The exit code, and what was printed to a terminal."""
    return run_in_terminal([HUNTCTL, *arguments])


class PublicPort(http.server.BaseHTTPRequestHandler):
    """Records its requests; hunt `closed` is rejected."""
    requests = []

    def respond(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Hunt-Bundle", BUNDLE)
        self.end_headers()
        self.wfile.write(body)

    def names(self):
        """The ids in /v1/hunts/HUNT/hunters/HUNTER."""
        _, _, _, hunt_id, _, hunter_id = self.path.split("/")
        return {"hunt_id": hunt_id, "hunter_id": hunter_id}

    def do_GET(self):
        self.requests.append((self.path, None, None))
        if self.path == "/status.json":
            self.respond(200, {"version": "0", "started_at_ms": 1, "taken_at_ms": 2, "cores": [], "pid": 1, "start_ticks": 0, "host": "serving",
                               "reload": {"started": 5, "finished": 4, "result": "rejected", "at_ms": 1, "applied": 3, "rejected": 1,
                                          "serves_saved": False, "bundle": BUNDLE, "error": "x.lua:1: no", "progress": ""}})
        elif self.path == "/healthz":
            self.respond(200, {"healthy": True, "reasons": []})
        elif self.path == "/readyz":
            self.respond(503, {"ready": False, "reasons": [{"core": 0, "reason": "core 0 can't use Redis"}]})
        elif self.path == "/v1/hunts/no/hunters/json":
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"<h1>")
        elif self.path == "/v1/core-map":
            self.respond(200, {"hash": "xxh3-64", "seed": 0, "buckets": 1024, "cores": 2, "up": [True, False],
                              "map": [b % 2 for b in range(1024)]})
        else:
            self.respond(200, {**self.names(), "loot": {"acorn": 3}, "loot_count": 3})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.requests.append((self.path, body, self.headers.get("Idempotency-Key")))
        if "/closed/" in self.path:
            self.respond(422, {"type": "urn:huntd:problem:rejected", "title": "Rejected by the hunt's script", "status": 422})
        else:
            self.respond(200, {"request_id": "r1", **self.names(), **OUTCOME})

    def log_message(self, *_):
        pass


class AdminCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = subprocess.Popen([SERVE_SAMPLE], stdout=subprocess.PIPE, text=True)
        cls.admin = f"127.0.0.1:{cls.served.stdout.readline().strip()}"

    @classmethod
    def tearDownClass(cls):
        cls.served.terminate()
        cls.served.wait()
        cls.served.stdout.close()

    def test_latency_prints_a_plain_table_per_core_into_a_pipe(self):
        run = huntctl("latency", "--admin", self.admin)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("\x1b", run.stdout)
        heads = [line for line in run.stdout.splitlines() if "p99.9" in line]
        self.assertEqual([" ".join(head.split()[:2]) for head in heads], ["core 0", "core 1", "all cores"])
        self.assertEqual(run.stdout.count("\nredis_commit "), 3)
        self.assertIn("█", run.stdout)

    def test_latency_is_coloured_in_a_terminal(self):
        code, seen = in_terminal("latency", "--admin", self.admin)
        self.assertEqual(code, 0)
        for colour in (b"\x1b[32m", b"\x1b[33m", b"\x1b[31m"):
            self.assertIn(colour, seen)

    def test_latency_as_json_is_that_of_the_admin_port(self):
        latency = json.loads(huntctl("latency", "--json", "--admin", self.admin).stdout)
        self.assertEqual([core["core"] for core in latency["cores"]], [0, 1])

    def test_latency_writes_a_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "latency.svg"
            run = huntctl("latency", "--svg", str(path), "--admin", self.admin)
            self.assertEqual(run.returncode, 0, run.stderr)
            picture = xml.dom.minidom.parse(str(path))
            self.assertGreater(len(picture.getElementsByTagName("rect")), 100)
            run = huntctl("latency", "--svg", f"{folder}/none/x.svg", "--admin", self.admin)
            self.assertEqual(run.returncode, 1)
            self.assertIn("cannot write", run.stderr)

    def test_latency_since_a_reset_has_only_what_came_after_it(self):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(os.environ, XDG_STATE_HOME=f"{folder}/state"):
            run = huntctl("latency", "--since-reset", "--admin", self.admin)
            self.assertEqual(run.returncode, 2, run.stdout)
            self.assertIn("huntctl latency --reset", run.stderr)
            whole = json.loads(huntctl("latency", "--json", "--admin", self.admin).stdout)
            reset = json.loads(huntctl("latency", "--reset", "--json", "--admin", self.admin).stdout)
            self.assertEqual(list(pathlib.Path(folder).rglob("*.json")), [pathlib.Path(reset["file"])])
            since = json.loads(huntctl("latency", "--since-reset", "--json", "--admin", self.admin).stdout)
            self.assertEqual(since["from_ms"], reset["from_ms"])
            self.assertGreater(whole["all"]["stages"]["request"]["count"], 0)
            self.assertEqual(since["all"]["stages"]["request"]["count"], 0)
            after = json.loads(huntctl("latency", "--json", "--admin", self.admin).stdout)  # huntd's own figures stay
            self.assertEqual(after["all"], whole["all"])
            pathlib.Path(reset["file"]).write_text("{")
            self.assertEqual(huntctl("latency", "--since-reset", "--admin", self.admin).returncode, 2)

    def test_a_reset_that_cannot_be_kept_is_an_error(self):
        with tempfile.NamedTemporaryFile() as file, unittest.mock.patch.dict(os.environ, XDG_STATE_HOME=file.name):
            run = huntctl("latency", "--reset", "--admin", self.admin)
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertIn("cannot write", run.stderr)
        with unittest.mock.patch.dict(os.environ, XDG_STATE_HOME="", HOME=""):
            self.assertEqual(huntctl("latency", "--reset", "--admin", self.admin).returncode, 2)

    def test_status_of_a_healthy_huntd(self):
        run = huntctl("status", "--admin", self.admin)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("2 cores, up", run.stdout)
        self.assertIn("healthy, ready", run.stdout)
        rows = [line.split() for line in run.stdout.splitlines() if " ready " in line]
        self.assertEqual([row[0] for row in rows], ["0", "1"])
        self.assertIn("100.00", rows[0])

    def test_addresses_come_from_the_config_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'[admin]\nlisten = "{self.admin}"\n')
            config.flush()
            self.assertEqual(huntctl("-c", config.name, "latency", "--json").returncode, 0)
            self.assertEqual(huntctl("latency", "--json", "-c", config.name).returncode, 0)
            config.write("[admin]\n")
            config.flush()
            run = huntctl("-c", config.name, "latency")
            self.assertEqual(run.returncode, 2)
            self.assertIn(config.name, run.stderr)

    def test_core_map_rejects_the_admin_port(self):
        run = huntctl("core-map", "--http", self.admin)
        self.assertEqual(run.returncode, 1)
        self.assertIn("is it huntd's public port?", run.stderr)


class PublicCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PublicPort)
        cls.http = f"127.0.0.1:{cls.server.server_port}"
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        PublicPort.requests.clear()

    def test_status_shows_a_rejected_reload(self):
        run = huntctl("status", "--admin", self.http)
        self.assertIn("\na reload is being checked\nthe newest reload was rejected 0 s ago; huntd serves the previous scripts:\nx.lua:1: no\n",
                      run.stdout)

    def test_no_process_is_signalled_that_is_not_the_huntd_of_the_admin_port(self):
        for command in ("reload", "drain"):
            run = huntctl(command, "--admin", self.http, "--json")  # it names process 1
            self.assertEqual(run.returncode, 2, run.stdout + run.stderr)
            self.assertIn("does not run here", json.loads(run.stdout)["error"])

    def test_hunt_posts_input_and_key_and_prints_the_response(self):
        run = huntctl("hunt", "forest", "ann", "--input", '{"dig":1}', "--key", "k-1", "--http", self.http)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(PublicPort.requests, [("/v1/hunts/forest/hunters/ann", '{"dig":1}', "k-1")])
        self.assertEqual(json.loads(run.stdout),
                         {"request_id": "r1", "hunt_id": "forest", "hunter_id": "ann", **OUTCOME})
        self.assertEqual(run.stderr, f"bundle {BUNDLE}\n")
        run = huntctl("hunt", "forest", "ann", "--json", "--http", self.http)
        self.assertEqual(json.loads(run.stdout)["bundle"], BUNDLE)

    def test_hunt_is_indented_in_a_terminal(self):
        code, seen = in_terminal("hunt", "forest", "ann", "--http", self.http)
        self.assertEqual(code, 0)
        self.assertIn(b'    {"loot_id":"acorn","event_id":"e1"}\r\n', seen)

    def test_hunt_without_input_and_key_sends_neither(self):
        self.assertEqual(huntctl("hunt", "forest", "ann", "--http", self.http).returncode, 0)
        self.assertEqual(PublicPort.requests, [("/v1/hunts/forest/hunters/ann", "", None)])

    def test_a_rejected_hunt_fails_and_prints_the_problem(self):
        run = huntctl("hunt", "closed", "ann", "--http", self.http)
        self.assertEqual(run.returncode, 4)
        self.assertEqual(run.stdout, "")
        self.assertIn("huntd responds with status 422", run.stderr)
        self.assertIn("Rejected by the hunt's script", run.stderr)
        run = huntctl("hunt", "closed", "ann", "--json", "--http", self.http)
        shown = json.loads(run.stdout)
        self.assertEqual((run.returncode, shown["exit_code"], shown["status"], shown["problem"]["status"]), (4, 4, 422, 422))
        self.assertIn("Rejected by the hunt's script", shown["error"])

    def test_a_response_that_is_not_json_is_an_error(self):
        for words in ((), ("--json",)):
            run = huntctl("held", "no", "json", *words, "--http", self.http)
            self.assertEqual(run.returncode, 1)
            self.assertEqual(run.stdout == "", not words)
            self.assertIn("the server is not huntd", run.stderr)
        self.assertEqual(json.loads(run.stdout)["exit_code"], 1)

    def test_status_as_json_of_a_huntd_that_is_not_ready_is_exit_1(self):
        run = huntctl("status", "--json", "--admin", self.http)
        self.assertEqual(run.returncode, 1)
        shown = json.loads(run.stdout)
        self.assertEqual((shown["healthy"], shown["ready"], shown["exit_code"]), (True, False, 1))
        self.assertEqual(shown["reasons"], ["core 0 can't use Redis"])
        self.assertIn("not ready: core 0 can't use Redis", shown["error"])

    def test_held_prints_what_a_hunter_holds(self):
        run = huntctl("held", "forest", "ann", "--http", self.http)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(PublicPort.requests, [("/v1/hunts/forest/hunters/ann", None, None)])
        self.assertEqual(json.loads(run.stdout)["loot"], {"acorn": 3})

    def test_a_hunt_with_the_name_of_a_command_needs_the_word_run(self):
        self.assertEqual(huntctl("hunt", "run", "close", "ann", "--http", self.http).returncode, 0)
        self.assertEqual(huntctl("hunt", "forest", "list", "--http", self.http).returncode, 0)
        self.assertEqual([path for path, _, _ in PublicPort.requests], ["/v1/hunts/close/hunters/ann", "/v1/hunts/forest/hunters/list"])
        PublicPort.requests.clear()
        run = huntctl("hunt", "--http", self.http, "close", "ann")
        self.assertEqual(run.returncode, 2)
        self.assertIn("close is a command: put it directly after hunt", run.stderr)
        self.assertEqual(PublicPort.requests, [])

    def test_a_malformed_id_is_wrong_usage_and_sends_no_request(self):
        for bad in ("a/b", "a b", "x" * 65, ""):
            for command in (("hunt", "forest", bad, "--http", self.http), ("hunt", "close", bad), ("hunt", "purge", bad, "--yes"),
                            ("forget", bad, "--yes")):
                run = huntctl(*command)
                self.assertEqual(run.returncode, 2, command)
                self.assertIn("is not a valid", run.stderr)
        self.assertEqual(PublicPort.requests, [])

    def test_core_map_prints_the_share_of_each_core(self):
        run = huntctl("core-map", "--http", self.http)
        self.assertEqual(run.stdout, "1024 buckets by xxh3-64(hunter_id)\n\n"
                         "core  state  buckets   share\n"
                         "   0  up         512  50.0 %\n"
                         "   1  down       512  50.0 %\n")

    def test_core_map_prints_the_core_of_one_hunter(self):
        run = huntctl("core-map", "--hunter", "ann", "--http", self.http)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"^ann: bucket \d+, core [01]")
        bucket = int(run.stdout.split()[2].rstrip(","))
        self.assertIn(f"core {bucket % 2}", run.stdout)
        shown = json.loads(huntctl("core-map", "--hunter", "ann", "--http", self.http, "--json").stdout)
        self.assertEqual(shown, {"hunter_id": "ann", "bucket": bucket, "core": bucket % 2, "up": bucket % 2 == 0})


class Mistakes(unittest.TestCase):
    def test_a_store_that_cannot_be_reached_is_an_error_and_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'[redis]\naddress = "{UNUSED}"\n[aggregator]\npostgres = "host=127.0.0.1 port=1"\n')
            config.flush()
            for command in (("hunt", "close", "a"), ("hunt", "open", "a"), ("hunt", "list"), ("hunt", "purge", "a", "--yes"),
                            ("forget", "a", "--yes"), ("restore", "--yes")):
                run = huntctl("-c", config.name, *command)
                self.assertEqual(run.returncode, 3, command)
                self.assertIn(f"redis: {UNUSED}", run.stderr)
                self.assertEqual(run.stdout, "")
                shown = json.loads(huntctl("-c", config.name, *command, "--json").stdout)
                self.assertEqual(shown["exit_code"], 3)
                self.assertIn(f"redis: {UNUSED}", shown["error"])

    def test_an_unused_port_is_named_in_the_error(self):
        for arguments, port in ((("latency", "--admin", UNUSED), "admin port"), (("status", "--admin", UNUSED), "admin port"),
                                (("hunt", "a", "b", "--http", UNUSED), "public port"),
                                (("held", "a", "b", "--http", UNUSED), "public port"),
                                (("core-map", "--http", UNUSED), "public port")):
            run = huntctl(*arguments)
            self.assertEqual(run.returncode, 3)
            self.assertEqual(run.stdout, "")
            self.assertIn(f"nothing listens on {UNUSED}, the {port}", run.stderr)

    def test_wrong_usage_is_2_and_help_is_0(self):
        for arguments in ((), ("nonsense",), ("latency", "--nonsense"), ("hunt",), ("hunt", "forest"), ("hunt", "close"),
                          ("hunt", "purge", "forest", "--yes", "--dry-run"), ("forget",), ("restore", "forest"),
                          ("latency", "--json", "--svg", "x.svg"), ("latency", "--reset", "--since-reset"),
                          ("latency", "--reset", "--watch"), ("latency", "--since", "1s", "--since-reset")):
            self.assertEqual(huntctl(*arguments).returncode, 2, arguments)
            run = huntctl("--json", *arguments)
            self.assertEqual((run.returncode, json.loads(run.stdout)["exit_code"]), (2, 2), arguments)
            self.assertNotEqual(run.stderr, "")
        self.assertIn("unknown command nonsense; the commands are: latency status", huntctl("nonsense").stderr)
        for arguments in (("--help",), ("--version",), ("latency", "--help"), ("hunt", "--help"), ("hunt", "purge", "--help"),
                          ("hunt", "forest", "--help")):
            self.assertEqual(huntctl(*arguments).returncode, 0, arguments)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

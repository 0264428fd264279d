# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the tests' own, made by openssl when it is needed."""
import pathlib
import subprocess

from harness.process import find_program

# openssl's way to a certificate of a past time: `openssl x509` has no option for it before 3.4.
CA_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""
PAST = ("20200101000000Z", "20210101000000Z")
ROOT_DAYS = 3650


class Authority:
    """A root certificate in DIRECTORY/ca.pem, and server certificates that it issues."""

    def __init__(self, directory: pathlib.Path | str, name: str = "huntd tests"):
        self.directory = pathlib.Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.root = self.directory / "ca.pem"
        (self.directory / "index").touch()
        (self.directory / "serial").write_text("1000\n")
        (self.directory / "ca.conf").write_text(CA_CONFIG.format(folder=self.directory))
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", str(ROOT_DAYS), "-subj", f"/CN={name}",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "ca.key", "-out", "ca.pem")

    def _run(self, *words: str) -> None:
        done = subprocess.run([find_program("openssl"), *words], cwd=self.directory, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {words[0]}: {done.stderr.strip()}")

    def issue(self, host: str, *, name: str = "server", expired: bool = False) -> pathlib.Path:
        """A new key and its certificate for a host name or an IPv4 address, in one file, as Kafka reads it; and each in its own, NAME.key
        and NAME.crt."""
        kind = "IP" if host.replace(".", "").isdigit() else "DNS"
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-subj", f"/CN={host}", "-addext",
                  f"subjectAltName={kind}:{host}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        dates = ("-startdate", PAST[0], "-enddate", PAST[1]) if expired else ("-days", "365")
        self._run("ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext", *dates,
                  "-in", f"{name}.csr", "-out", f"{name}.crt")
        (self.directory / f"{name}.key").chmod(0o600)
        both = self.directory / f"{name}.pem"
        both.write_text((self.directory / f"{name}.key").read_text() + (self.directory / f"{name}.crt").read_text())
        return both

"""What the project's own packages build: made on the host, run in a machine at the same path."""

import json
import subprocess
from pathlib import Path

from host.cache import REPOSITORY
from host.errors import LabError, Skipped

BUILD_WITHIN = 1500


def binary(package, name, log, features=(), release=True):
    """Builds a binary of a package and returns its path. What cargo says goes to `log`."""
    command = ["build", *(["--release"] if release else []), "--bin", name]
    for artifact in build(command, package, features, log):
        if artifact["target"]["name"] == name and artifact["executable"]:
            return Path(artifact["executable"])
    raise LabError(f"cargo built no binary {name} of {package}")


def test_programs(package, log, features=()):
    """Builds a package's tests and returns the path of each test program by its name."""
    artifacts = build(["test", "--no-run"], package, features, log)
    programs = {artifact["target"]["name"]: Path(artifact["executable"])
                for artifact in artifacts if artifact["profile"]["test"]}
    if not programs:
        raise LabError(f"cargo built no tests of {package}")
    return programs


def build(command, package, features, log):
    """Runs cargo and returns what it made that can be executed."""
    require_package(package)
    command = ["cargo", *command, "--package", package, "--message-format=json",
               *(["--features", ",".join(features)] if features else [])]
    with open(log, "wb") as errors:
        try:
            done = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=errors,
                                  timeout=BUILD_WITHIN, check=False)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{' '.join(command)}: not within {BUILD_WITHIN} s") from error
    if done.returncode != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise LabError(f"{' '.join(command)} failed: {' | '.join(last)}")
    messages = map(json.loads, done.stdout.splitlines())
    return [message for message in messages
            if message["reason"] == "compiler-artifact" and message["executable"]]


def require_package(package):
    """Raises `Skipped` while the workspace does not have the package."""
    command = ["cargo", "metadata", "--no-deps", "--format-version=1"]
    done = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=BUILD_WITHIN, check=False)
    if done.returncode != 0:
        raise LabError(f"cargo metadata failed: {done.stderr.strip()}")
    packages = {entry["name"] for entry in json.loads(done.stdout)["packages"]}
    if package not in packages:
        raise Skipped(f"the workspace has no package {package}")

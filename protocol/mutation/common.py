"""What the parts share: where things are, and the record of verdicts, which survives any end."""
import datetime, fcntl, json, os, pathlib, shutil, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PACKAGE = "rdma-migration-protocol"
STATE = REPOSITORY / "target" / "mutation"
PLAN = STATE / "plan.json"


def say(text):
    print(datetime.datetime.now().strftime("%H:%M:%S"), text, flush=True)


def commit():
    """The commit under test."""
    return (STATE / "commit").read_text().strip()


def begin():
    """Takes the commit that is checked out. Where only tests were added to the commit before, what was
    caught stays caught. Else the first stage begins anew, and of the second stage's verdicts those stay
    whose file has not changed. What was missed is tested anew in any case."""
    head = git("rev-parse", "HEAD")
    before = commit() if (STATE / "commit").exists() else None
    only_tests = before and only_tests_added(before, head)
    changed = git("diff", "--name-only", before, head, "--", "protocol/src") if before else ""
    stay = [verdict for name, verdict in verdicts("alone").items()
            if before and verdict["verdict"] != "missed"
            and name.partition(":")[0] not in changed.splitlines()]
    if not only_tests:
        for name in ("woven.jsonl", "plan.json", "programs.json"):
            (STATE / name).unlink(missing_ok=True)
    write(STATE / "alone.jsonl", "".join(json.dumps(verdict) + "\n" for verdict in stay))
    say(f"{len(stay)} verdicts of the second stage stay")
    write(STATE / "commit", head)


def only_tests_added(old, new):
    """Whether nothing of the package has changed but for files that are new among its tests."""
    changes = git("diff", "--name-status", old, new, "--", "protocol", "transport-sim").splitlines()
    return all(change.split("\t")[0] == "A" and change.split("\t")[1].startswith("protocol/tests/")
               or change.split("\t")[1].startswith("protocol/mutation/") for change in changes)


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def plan():
    return json.loads(PLAN.read_text())


def write(path, text):
    """All of the file or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    pathlib.Path(file.name).replace(path)


def export(workspace):
    """The files of the commit, and nothing that is not committed. All of them are new to cargo, which
    would else take what it built of another commit for them."""
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    archive = subprocess.Popen(["git", "archive", commit()], cwd=REPOSITORY, stdout=subprocess.PIPE)
    subprocess.run(["tar", "--extract", "--touch", "--directory", workspace], stdin=archive.stdout,
                   check=True)
    if archive.wait():
        sys.exit("git archive failed")


def record(stage, verdict):
    """Appends one verdict. What a sudden end leaves of a line, `verdicts` passes over."""
    with open(STATE / f"{stage}.jsonl", "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(verdict).encode() + b"\n")


def verdicts(stage):
    """The verdicts of a stage by the mutant's name; the last one counts."""
    path = STATE / f"{stage}.jsonl"
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            verdict = json.loads(line)
        except ValueError:
            continue
        found[verdict["name"]] = verdict
    return found

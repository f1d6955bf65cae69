"""What the parts share: where things are, and the record of verdicts, which survives any end."""
import datetime, fcntl, json, pathlib, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PACKAGE = "rdma-migration-protocol"
COMMIT = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, check=True, text=True,
                        stdout=subprocess.PIPE).stdout.strip()
STATE = REPOSITORY / "target" / "mutation" / COMMIT[:12]


class Shard:
    """Every `count`th mutant, from the `index`th."""
    def __init__(self, text):
        index, _, count = text.partition("/")
        self.index, self.count = int(index), int(count)
        if not 0 <= self.index < self.count:
            sys.exit("a shard is K/N with K from 0 to N - 1")

    def has(self, mutant):
        return mutant["number"] % self.count == self.index


def say(text):
    print(datetime.datetime.now().strftime("%H:%M:%S"), text, flush=True)


def write(path, text):
    """All of the file or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    pathlib.Path(file.name).replace(path)


def export(workspace):
    """The files of the commit, and nothing that is not committed."""
    workspace.mkdir(parents=True, exist_ok=True)
    archive = subprocess.Popen(["git", "archive", COMMIT], cwd=REPOSITORY, stdout=subprocess.PIPE)
    subprocess.run(["tar", "--extract", "--directory", workspace], stdin=archive.stdout, check=True)
    if archive.wait():
        sys.exit("git archive failed")


def build_weave():
    target = REPOSITORY / "target" / "weave"
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--target-dir", target],
                   cwd=HERE / "weave", check=True)
    return target / "debug" / "weave"


def record(stage, verdict):
    """Appends one verdict. A line is written whole or, at a sudden end, is left out by `verdicts`."""
    path = STATE / f"{stage}.jsonl"
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, 2)
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

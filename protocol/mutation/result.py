"""The committed result, and what is still to be explained in it."""
import collections, json, subprocess, sys, tomllib

import common
from common import HERE, REPOSITORY

RESULT = HERE / "result.toml"
REASONS = HERE / "reasons.toml"
KINDS = ["caught", "timeout", "unviable", "missed"]


def write():
    """Writes result.toml out of the verdicts, once every mutant has one."""
    woven, alone = common.verdicts("woven"), common.verdicts("alone")
    verdicts, without, sample = {}, [], []
    for mutant in common.plan():
        name = mutant["name"]
        first = woven.get(name, {}).get("verdict")
        second = alone.get(name, {}).get("verdict")
        # cargo-mutants itself has the last word.
        verdicts[name] = second or first
        if verdicts[name] is None or (first == "missed" and second is None):
            without.append(name)
        if first == "caught" and second:
            # Endless in one may be out of memory in the other: both have noticed it.
            sample.append(second in ("caught", "timeout"))
    if without:
        sys.exit(f"{len(without)} mutants have no verdict yet, {without[0]} among them")
    counts = collections.Counter(verdicts.values())
    lines = ["# Written by `protocol/mutation/run result`. The reasons stand in reasons.toml.",
             f'commit = "{common.commit()}"', f"mutants = {len(verdicts)}"]
    lines += [f"{kind} = {counts[kind]}" for kind in KINDS]
    lines.append("")
    for kind in ("missed", "timeout"):
        lines.append(f"{kind}_names = [")
        lines += [f"  {json.dumps(name)}," for name in sorted(verdicts) if verdicts[name] == kind]
        lines += ["]", ""]
    lines += ["# Of those that one build with all mutants caught, the ones that cargo-mutants",
              "# tested again, and how many of them it noticed too.", "[sample]",
              f"tested = {len(sample)}", f"agreed = {sum(sample)}"]
    common.write(RESULT, "\n".join(lines) + "\n")
    RESULT.chmod(0o644)
    print(f"{RESULT.relative_to(REPOSITORY)}: " +
          ", ".join(f"{counts[kind]} {kind}" for kind in KINDS))


def check():
    """Whether result.toml adds up and every mutant that was missed has a reason why."""
    found = tomllib.loads(RESULT.read_text())
    reasons = tomllib.loads(REASONS.read_text()) if REASONS.exists() else {}
    wrong = []
    if sum(found[kind] for kind in KINDS) != found["mutants"] or not found["mutants"]:
        wrong.append("the counts do not add up")
    if found["sample"]["agreed"] != found["sample"]["tested"] or not found["sample"]["tested"]:
        wrong.append("the two stages do not agree")
    for kind in ("missed", "timeout"):
        if len(found[f"{kind}_names"]) != found[kind]:
            wrong.append(f"{kind}: the names and the count differ")
    for name in found["missed_names"]:
        if not reasons.get(name, "").strip():
            wrong.append(f"missed, and no reason why it cannot matter: {name}")
    for name in reasons.keys() - set(found["missed_names"]):
        wrong.append(f"a reason for a mutant that is not missed: {name}")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        return 1
    changed = changed_since(found["commit"])
    if changed:
        print(f"of commit {found['commit'][:12]}; changed since: {', '.join(changed)}")
    viable = found["mutants"] - found["unviable"]
    print(f"prove | every viable mutant of protocol is caught, or cannot matter for a written reason"
          f" | cargo-mutants, commit {found['commit'][:12]}: {viable - found['missed']:,} caught,"
          f" {found['missed']} with a reason | {viable:,} mutants | pass")
    return 0


def changed_since(commit):
    """Files of the crate that differ from those that were tested, as far as git can tell."""
    diff = subprocess.run(["git", "diff", "--name-only", commit, "--", "protocol/src"], cwd=REPOSITORY,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return diff.stdout.split() if diff.returncode == 0 else ["unknown: the commit is not here"]

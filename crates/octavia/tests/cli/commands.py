"""Runs the cases of commands.txt through the openstack command, in this one process, and judges them.

    commands.py CASES            exit status 1 if a case is not as it should be, or a command has no case
    commands.py CASES --table    only writes the table of commands and their cases
"""
import contextlib
import importlib.metadata
import io
import json
import shlex
import sys

# Of each command, what is not there to be succeeded with, and why.
WITHOUT_SUCCESS = {
    "amphora stats show": "needs statistics of an amphora that carries traffic",
    "amphora delete": "needs an amphora in ERROR",
}


def cases(path):
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line.strip() or line.startswith("#"):
                continue
            kind, rest = line.split(" ", 1)
            words, _, expected = rest.partition(" =>")
            yield number, kind, words.strip(), expected.strip()


def commands():
    group = importlib.metadata.entry_points(group="openstack.load_balancer.v2")
    names = (entry.name.removeprefix("loadbalancer_").replace("_", " ") for entry in group)
    return sorted(names)


def command_of(words, known):
    fit = [name for name in known if words == name or words.startswith(name + " ")]
    return max(fit, key=len) if fit else None


def run(words):
    from openstackclient.shell import OpenStackShell

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = OpenStackShell().run(["loadbalancer", *words])
        except SystemExit as end:
            status = end.code
    return status or 0, out.getvalue(), err.getvalue()


def rows(text):
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return (found[0] if found else {}) if isinstance(found, list) else found


def table(path, known):
    seen = {name: {"+": [], "-": []} for name in known}
    for _, kind, words, expected in cases(path):
        name = command_of(words, known)
        if name:
            seen[name]["-" if kind == "-" else "+"].append((words, expected))
    print("# The commands of python-octaviaclient\n")
    print("Each is run against `all-in-one --network noop` by the tests; `crates/octavia/tests/cli/commands.txt` has")
    print("all cases. `UPDATE_DOCS=1 cargo nextest run -p octavia every_command` renews this page.\n")
    print("| openstack loadbalancer … | succeeds with | fails with | and says |\n|---|---|---|---|")
    shown = lambda words: "`" + words.replace("|", "\\|") + "`"
    for name in known:
        good = seen[name]["+"]
        bad = seen[name]["-"]
        success = shown(good[0][0]) if good else WITHOUT_SUCCESS.get(name, "**nothing**")
        failure, said = (shown(bad[0][0]), shown(bad[0][1])) if bad else ("**nothing**", "")
        print(f"| {name} | {success} | {failure} | {said} |")


def judge(path, known):
    wrong, names = [], {}
    tried = {name: set() for name in known}
    for number, kind, words, expected in cases(path):
        name = command_of(words, known)
        if name is None:
            wrong.append(f"{number}: no such command: {words}")
            continue
        tried[name].add("-" if kind == "-" else "+")
        for key, value in names.items():
            words, expected = words.replace(key, value), expected.replace(key, value)
        # JSON in braces is taken as it is.
        argv = words.split() if "{" in words or "(" in words else shlex.split(words)
        shows = kind.startswith("$") or (kind == "+" and expected)
        status, out, err = run([*argv, "-f", "json"] if shows else argv)
        said = f"{number}: {words}\n  status {status}\n  {out.strip()[-600:]}\n  {err.strip()[-600:]}"
        if kind == "-":
            if status == 0 or expected.lower() not in (out + err).lower():
                wrong.append(f"{said}\n  wanted a failure that says: {expected}")
            continue
        if status != 0:
            wrong.append(said)
            continue
        row = rows(out) if shows else {}
        if kind.startswith("$"):
            names[kind] = str(row.get(expected))
            continue
        for pair in expected.split():
            key, _, value = pair.partition("=")
            if str(row.get(key)) != value:
                wrong.append(f"{said}\n  wanted {key}={value}, is {row.get(key)}")
    for name, kinds in tried.items():
        if "+" not in kinds and name not in WITHOUT_SUCCESS:
            wrong.append(f"{name}: no case that succeeds")
        if "-" not in kinds:
            wrong.append(f"{name}: no case that fails")
    return wrong


def main():
    path, *options = sys.argv[1:]
    known = commands()
    if "--table" in options:
        table(path, known)
        return 0
    wrong = judge(path, known)
    for text in wrong:
        print(text)
    print(f"{len(known)} commands, {sum(1 for _ in cases(path))} cases, {len(wrong)} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the cases of methods.txt through openstacksdk's load balancing, in this one process, and judges them.

    methods.py CASES            exit status 1 if a case is not as it should be, or a method has no case
    methods.py CASES --table    only writes the table of methods and their cases
"""
import inspect
import re
import sys

# Of each method, what cannot be failed with, and why.
WITHOUT_FAILURE = {
    "get_quota_default": "whoever has a role may look",
}


def cases(path):
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            call, _, expected = line.partition(" => ")
            kind, call = call.split(" ", 1)
            yield number, kind, call.removeprefix("= ").strip(), expected.strip()


def methods():
    from openstack.load_balancer.v2._proxy import Proxy

    return sorted(name for name, _ in inspect.getmembers(Proxy, inspect.isfunction)
                  if name in vars(Proxy) and not name.startswith("_"))


def method_of(call):
    return re.match(r"(?:demo\.)?(\w+)\(", call).group(1)


def table(path, known):
    seen = {name: {"+": [], "-": []} for name in known}
    for _, kind, call, expected in cases(path):
        if method_of(call) in seen:
            seen[method_of(call)]["-" if kind == "-" else "+"].append((call, expected))
    print("# The load balancing of openstacksdk\n")
    print("Each method is called against `all-in-one --network noop` by the tests; `crates/octavia/tests/sdk/methods.txt`")
    print("has all cases. `UPDATE_DOCS=1 cargo nextest run -p octavia every_method` renews this page.\n")
    print("| connection.load_balancer.… | succeeds with | fails with | and raises |\n|---|---|---|---|")
    shown = lambda text: "`" + text.replace("|", "\\|") + "`"
    for name in known:
        good, bad = seen[name]["+"], seen[name]["-"]
        success = shown(good[0][0]) if good else "**nothing**"
        failure, said = (shown(bad[0][0]), shown(bad[0][1])) if bad else (WITHOUT_FAILURE.get(name, "**nothing**"), "")
        print(f"| {name} | {success} | {failure} | {said} |")


class Names(dict):
    """What a case can name: methods as the administrator, `demo.` methods as a user, and what was made before."""

    def __init__(self, admin, demo):
        super().__init__(len=len, demo=demo, absent="11111111-2222-3333-4444-555555555555")
        self.admin = admin

    def __missing__(self, name):
        return getattr(self.admin, name)


def judge(path, known):
    import openstack

    admin, demo = openstack.connect(cloud="admin"), openstack.connect(cloud="demo")
    names = Names(admin.load_balancer, demo.load_balancer)
    names["subnet"] = admin.network.find_subnet("private-subnet", ignore_missing=False).id
    names["project"] = admin.current_project_id
    wrong, tried = [], {name: set() for name in known}
    for number, kind, call, expected in cases(path):
        name = method_of(call)
        if name not in tried:
            wrong.append(f"{number}: no such method: {name}")
            continue
        tried[name].add("-" if kind == "-" else "+")
        try:
            got = eval(call, {"__builtins__": {}}, names)
            got = list(got) if inspect.isgenerator(got) else got
        except Exception as error:
            raised = f"{type(error).__name__} {error}"
            word, _, text = expected.partition(" ")
            if kind != "-" or word != type(error).__name__ or text not in str(error):
                wrong.append(f"{number}: {call}\n  raised {raised}\n  not {expected}")
            continue
        names["it"] = got
        if kind == "-":
            wrong.append(f"{number}: {call}\n  returned {got}\n  did not raise {expected}")
        elif kind != "+":
            names[kind] = got
        if kind != "-" and expected and not eval(expected, {"__builtins__": {}}, names):
            wrong.append(f"{number}: {call}\n  returned {got}\n  which is not: {expected}")
    for name, kinds in tried.items():
        if "+" not in kinds:
            wrong.append(f"{name}: no case that succeeds")
        if "-" not in kinds and name not in WITHOUT_FAILURE:
            wrong.append(f"{name}: no case that fails")
    return wrong


def main():
    path, *options = sys.argv[1:]
    known = methods()
    if "--table" in options:
        table(path, known)
        return 0
    wrong = judge(path, known)
    for text in wrong:
        print(text)
    print(f"{len(known)} methods, {sum(1 for _ in cases(path))} cases, {len(wrong)} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

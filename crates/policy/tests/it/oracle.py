"""What oslo.policy makes of rules: reads a task in JSON, writes the answers.

An answer is null where a rule was not understood, else a decision for each caller.
"""
import json
import logging
import sys
import tempfile
import warnings

from oslo_config import cfg
from oslo_policy import policy

warnings.simplefilter("ignore")


@policy.register("is_admin")
class IsAdmin(policy.Check):
    """Octavia brings this kind of check itself."""

    def __init__(self, kind, match):
        super().__init__(kind, str(match.lower() == "true"))

    def __call__(self, target, creds, enforcer):
        return str(creds["is_admin"]) == self.match


class Complaints(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record):
        self.count += 1


complaints = Complaints()
logging.getLogger("oslo_policy").addHandler(complaints)
logging.getLogger("oslo_policy").propagate = False


def default(row):
    old = row["deprecated"]
    if old:
        old = policy.DeprecatedRule(
            old["name"], old["check"], deprecated_reason="x", deprecated_since="x"
        )
    return policy.RuleDefault(
        row["name"], row["check"], deprecated_rule=old, scope_types=row["scope"] or None
    )


def ask(enforcer, name, caller):
    creds = dict(caller["credentials"])
    try:
        return bool(enforcer.enforce(name, caller["target"], creds))
    except policy.InvalidScope:
        return False


def answer(case, defaults):
    complaints.count = 0
    conf = cfg.ConfigOpts()
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/policy.yaml", "w") as file:
            file.write(case["file"])
        conf([], default_config_dirs=[directory], default_config_files=[])
        enforcer = policy.Enforcer(conf, policy_file=f"{directory}/policy.yaml")
        conf.set_override("enforce_new_defaults", case["enforce_new_defaults"], "oslo_policy")
        enforcer.suppress_deprecation_warnings = True
        # As register_defaults does, without a copy of each for every case.
        enforcer.registered_rules = dict(defaults)
        try:
            enforcer.load_rules(True)
        except Exception:
            return None
        if complaints.count:
            return None
        try:
            return [ask(enforcer, case["rule"], caller) for caller in case["callers"]]
        except (SyntaxError, ValueError, TypeError):
            return None


task = json.load(sys.stdin)
defaults = {row["name"]: default(row) for row in task["defaults"]}
json.dump([answer(case, defaults) for case in task["cases"]], sys.stdout)

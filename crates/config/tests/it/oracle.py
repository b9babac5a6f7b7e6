"""Reads texts as oslo.config does. Standard input: {"options": […], "texts": […]}; standard output: for each text the
values that it gives, as {"group.name": value}, or null if it is refused."""

import json
import logging
import sys
import tempfile

from oslo_config import cfg, types

KINDS = {
    "text": lambda o: types.String(),
    "choice": lambda o: types.String(choices=o["choices"], ignore_case=o["any_case"]),
    "boolean": lambda o: types.Boolean(),
    "integer": lambda o: types.Integer(o["least"], o["most"]),
    "number": lambda o: types.Float(o["least"], o["most"]),
    "port": lambda o: types.Port(),
    "IP address": lambda o: types.IPAddress(),
    "host name": lambda o: types.Hostname(),
    "list": lambda o: types.List(),
    "dict": lambda o: types.Dict(),
    "texts": lambda o: types.MultiString(),
}


def option(o):
    former = [cfg.DeprecatedOpt(name, group=group) for group, name in o["former"]]
    if o["kind"] == "texts":
        return cfg.MultiStrOpt(o["name"], deprecated_opts=former)
    return cfg.Opt(o["name"], type=KINDS[o["kind"]](o), default=o["default"], deprecated_opts=former)


def read(options, text):
    conf = cfg.ConfigOpts()
    for o in options:
        conf.register_opt(option(o), group=None if o["group"] == "DEFAULT" else o["group"])
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        try:
            conf(["--config-file", file.name], project="oracle")
            values = {}
            for o in options:
                group = None if o["group"] == "DEFAULT" else o["group"]
                value, location = conf._do_get(o["name"], conf._get_group(group) if group else None)
                if location is not None and location.location is cfg.Locations.user and value is not None:
                    values[o["group"] + "." + o["name"]] = value
            return values
        except (cfg.Error, ValueError, RecursionError):
            return None


logging.disable(logging.CRITICAL)
task = json.load(sys.stdin)
json.dump([read(task["options"], text) for text in task["texts"]], sys.stdout)

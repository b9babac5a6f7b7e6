//! Texts made of the table: the sample file, the reference page, and the values in force.

use std::fmt::Write as _;

use crate::problem::is_printable;
use crate::spec::{Applies, Spec};
use crate::table::groups;
use crate::userinfo::without_userinfo;
use crate::value::Value;
use crate::{Config, Kind, Origin, Setting};

/// A file with every option at its default, commented out.
pub fn sample() -> String {
    let mut out = String::from(
        "# Every option of octavia.conf at its default. Remove the # before those to change.\n\
         # `octavia config validate --config-file FILE` finds mistakes.\n",
    );
    for group in groups() {
        push(&mut out, format_args!("\n[{}]\n# {}\n", group.name, group.about));
        for spec in group.options {
            out.push('\n');
            for line in wrapped(&remarks(spec), 100) {
                push(&mut out, format_args!("# {line}\n"));
            }
            for value in defaults(spec) {
                push(&mut out, format_args!("#{}\n", assignment(spec, &value)));
            }
        }
    }
    out
}

fn remarks(spec: &Spec) -> String {
    let mut text = format!("{} ({})", spec.help, spec.kind.allowed());
    if let Some(value) = spec.all_in_one {
        push(&mut text, format_args!(" In all-in-one {value} unless set."));
    }
    match spec.applies {
        Applies::Yes => {}
        Applies::NotYet => text.push_str(" Has no effect yet."),
        Applies::NotHere(reason) => push(&mut text, format_args!(" Has no effect here: {reason}.")),
    }
    text
}

fn defaults(spec: &Spec) -> Vec<String> {
    match (spec.default.and_then(|default| spec.kind.read(default)), spec.default_words) {
        (Some(value), _) => written(spec.kind, &value),
        (None, Some(words)) => vec![format!("<{words}>")],
        (None, None) => vec!["<unset>".to_owned()],
    }
}

/// Lines of at most `width` characters, if words are not longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The reference page: `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made from the table of options in crates/config; UPDATE_DOCS=1 with that crate's tests renews it. -->\n\n\
         `octavia.conf` is the original's: the same sections, options and dialect, so that an existing file can be \
         used. Options that\nhave no effect are said so below, and a start with them warns.\n\n\
         ```\n\
         octavia config validate --config-file FILE     # every mistake, with its line\n\
         octavia config show --config-file FILE         # the values in force, and where each comes from\n\
         octavia config sample                          # a file with every option\n\
         octavia all-in-one --state-dir DIR --config-file FILE --config-dir DIR\n\
         ```\n\n\
         `--config-file` and `--config-dir` may be given several times. Files are read in their order, then the \
         `*.conf` of each\ndirectory by name; what is read later wins. What the command line says wins over files.\n\
         Defaults of all-in-one hold for `octavia api`, `worker`, `health-manager` and `housekeeping`, too.\n\n\
         ## The dialect\n\n\
         - `name = value` or `name: value` below a `[section]`; `#` or `;` at the start of a line makes it a comment.\n\
         - A line that starts with a blank continues the value above it, after a line break.\n\
         - An option that is given twice has its last value; where several may be given, they are collected.\n\
         - Quotes around a whole value are removed.\n\
         - `$name`, `${name}`, `$group.name` and `${group.name}` stand for the value of another option; `$$` for a \
         dollar sign.\n\
         - Booleans are `true`, `yes`, `on`, `1` and `false`, `no`, `off`, `0`. Lists are separated by commas, dicts \
         are\n  `key:value` separated by commas. A number without a value leaves the default.\n\
         - A wrong value is an error; an unknown option or section, and one without effect, is a warning.\n\n\
         ## Options\n\n\
         *Applies*: **yes**; **not yet** = accepted and checked, without effect so far; otherwise why it has none here.\n",
    );
    for group in groups() {
        push(&mut out, format_args!("\n### [{}]\n\n{}", group.name, group.about));
        if group.open {
            out.push_str(" The original's libraries know more options here; they have no effect.");
        }
        out.push_str("\n\n| option | type | default | meaning | applies |\n|---|---|---|---|---|\n");
        for spec in group.options {
            line(&mut out, spec);
        }
    }
    out
}

fn line(out: &mut String, spec: &Spec) {
    let default = match (spec.default, spec.default_words) {
        (Some(""), _) => "empty".to_owned(),
        (Some(default), _) => format!("`{}`", default.replace('|', "\\|")),
        (None, Some(words)) => words.to_owned(),
        (None, None) => "unset".to_owned(),
    };
    let mut meaning = spec.help.to_owned();
    let plain = matches!(
        spec.kind,
        Kind::Text | Kind::Flag | Kind::Port | Kind::Ip | Kind::Host | Kind::Multi | Kind::Dict
    ) || spec.kind == (Kind::Int { least: None, most: None })
        || spec.kind == (Kind::Float { least: None, most: None })
        || spec.kind == Kind::List(crate::kind::Item::Text);
    if !plain {
        push(&mut meaning, format_args!(" Allowed: {}.", spec.kind.allowed()));
    }
    if spec.secret {
        meaning.push_str(" Secret: never shown.");
    }
    if spec.ours {
        meaning.push_str(" Not of the original.");
    }
    if let Some(value) = spec.all_in_one {
        push(&mut meaning, format_args!(" In all-in-one `{value}` unless set."));
    }
    for (group, name) in spec.former {
        if *group == spec.group {
            push(&mut meaning, format_args!(" Formerly `{name}`."));
        } else {
            push(&mut meaning, format_args!(" Formerly `[{group}] {name}`."));
        }
    }
    let applies = match spec.applies {
        Applies::Yes => "**yes**".to_owned(),
        Applies::NotYet => "not yet".to_owned(),
        Applies::NotHere(reason) => format!("no: {reason}"),
    };
    push(
        out,
        format_args!("| `{}` | {} | {default} | {meaning} | {applies} |\n", spec.name, spec.kind.name()),
    );
}

/// The values in force as a file that could be read again; above each, where it comes from. Secrets and what cannot
/// be written so are commented out. `all`: also options without effect that no file sets.
pub fn show(config: &Config, all: bool) -> String {
    let mut out = String::new();
    let mut section = ("", None);
    for setting in config.settings() {
        let given = setting.origin != Origin::Default;
        let below = setting.subsection.as_deref();
        if below.is_none() && !(all || given || setting.spec.applies == Applies::Yes) {
            continue;
        }
        if (setting.spec.group, below) != section {
            section = (setting.spec.group, below);
            let blank = if out.is_empty() { "" } else { "\n" };
            let name = below.map(|name| format!(".{name}")).unwrap_or_default();
            push(&mut out, format_args!("{blank}[{}{name}]\n", setting.spec.group));
        }
        // Where a section below a group says nothing, the group's own is no default of the option.
        if below.is_none() || given {
            shown(&mut out, setting);
        }
    }
    out
}

fn shown(out: &mut String, setting: &Setting) {
    let spec = setting.spec;
    match &setting.origin {
        Origin::Default if spec.all_in_one.is_some() => out.push_str("# default of all-in-one"),
        Origin::Default => out.push_str("# default"),
        Origin::File { name, line } => {
            push(out, format_args!("# {}:{line}", crate::problem::printable(name)))
        }
    }
    out.push_str(match spec.applies {
        Applies::Yes => "\n",
        Applies::NotYet => "; has no effect yet\n",
        Applies::NotHere(_) => "; has no effect here\n",
    });
    let default = || spec.kind.read(spec.all_in_one.or(spec.default)?);
    let Some(value) = setting.given.clone().or_else(default) else {
        let words = spec.default_words.unwrap_or("unset");
        return push(out, format_args!("# {} = <{words}>\n", spec.name));
    };
    if setting.secret {
        return push(out, format_args!("# {} = <secret>\n", spec.name));
    }
    for text in written(spec.kind, &value) {
        let shown = without_userinfo(&text);
        if shown != text {
            push(out, format_args!("# {} = {}\n", spec.name, shown.escape_debug()));
            continue;
        }
        let plain = text.chars().all(|c| is_printable(c) || matches!(c, '\n' | '\t'));
        if plain {
            push(out, format_args!("{}\n", assignment(spec, &text)));
        } else {
            push(
                out,
                format_args!(
                    "# {} = \"{}\" (with what a terminal would not show)\n",
                    spec.name,
                    text.escape_debug()
                ),
            );
        }
    }
}

fn assignment(spec: &Spec, value: &str) -> String {
    format!("{} = {value}", spec.name).trim_end().to_owned()
}

/// What has to stand in a file for the value; one for each time the option has to be there.
fn written(kind: Kind, value: &Value) -> Vec<String> {
    match value {
        Value::List(items) if kind == Kind::Multi => items.iter().map(|item| quoted(item, false)).collect(),
        Value::List(items) if items.is_empty() => vec![String::new()],
        Value::List(items) => vec![quoted(&value.to_string(), items.last().is_some_and(String::is_empty))],
        value => vec![quoted(&value.to_string(), false)],
    }
}

fn quoted(text: &str, last_is_empty: bool) -> String {
    // A backslash before a dollar sign can be written in one way only, which is not the usual one.
    let mut text = text.replace('$', if text.contains("\\$") { "\\$" } else { "$$" });
    if last_is_empty {
        text.push_str(" ,");
    }
    let quote = |c: char| c == '"' || c == '\'';
    if text.trim_matches(crate::ini::is_space) != text || text.starts_with(quote) && text.ends_with(quote) {
        text = format!("\"{text}\"");
    }
    text.replace('\n', "\n    ")
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(arguments);
}

//! Files in, values out: which of several files and names wins, what a value refers to, and whether it is one.

use std::collections::HashMap;
use std::ops::Range;

use crate::ini::{self, Document};
use crate::interpolate::{Piece, pieces};
use crate::nearest::nearest;
use crate::problem::{Problem, Severity, printable};
use crate::spec::{Applies, Opt, Spec};
use crate::table::{LIBRARY_SECTIONS, WITH_SUBSECTIONS, groups};
use crate::userinfo::without_userinfo;
use crate::value::{FromValue, Value};
use crate::{Group, Kind, MAX_FILE};

/// Bytes of a value at most, after what it refers to has gone in.
const MAX_VALUE: usize = 64 << 10;
/// Sections such as `[cors.NAME]` at most, and characters of `NAME`.
const MAX_BELOW: usize = 100;
const MAX_BELOW_NAME: usize = 100;
/// Errors, and warnings, that are told of one reading; after so many, there is something else wrong.
const MAX_PROBLEMS: usize = 1000;

/// A file's name, for messages, and what it says.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub text: Vec<u8>,
}

/// The value of every option.
#[derive(Debug, Clone)]
pub struct Config {
    settings: Vec<Setting>,
    places: HashMap<(&'static str, &'static str), usize>,
}

#[derive(Clone)]
pub struct Setting {
    pub spec: &'static Spec,
    /// `NAME` of `[group.NAME]`, a section that files have beside the group's own; `None` = the group's own.
    pub subsection: Option<String>,
    /// What the files say; `None` = nothing, the default holds.
    pub given: Option<Value>,
    pub origin: Origin,
    /// The option is secret, or its value is made of a secret one's.
    pub secret: bool,
}

/// A section `[group.NAME]`: what it does not say, the group's own section does.
#[derive(Debug, Clone, Copy)]
pub struct Subsection<'a> {
    settings: &'a [Setting],
}

impl Subsection<'_> {
    /// What files say in this section, if they say anything.
    pub fn given<T: FromValue>(&self, option: &Opt<T>) -> Option<T> {
        let setting = self.settings.iter().find(|setting| setting.spec.name == option.spec.name)?;
        T::from_value(setting.given.as_ref()?)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { name: String, line: usize },
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Setting");
        debug.field("group", &self.spec.group);
        if let Some(name) = &self.subsection {
            debug.field("subsection", name);
        }
        debug.field("name", &self.spec.name).field("origin", &self.origin);
        if !self.secret {
            let given = self.given.as_ref().map(|value| format!("{value:?}"));
            debug.field("given", &given.as_deref().map(without_userinfo));
        }
        debug.finish()
    }
}

impl Config {
    /// Reads files, of which a later one wins over an earlier one. Every option has a value afterwards; where one is
    /// wrong, the default holds and the problems hold an error.
    pub fn read(sources: &[Source]) -> (Self, Vec<Problem>) {
        let mut reader = Reader::new();
        for (file, source) in sources.iter().enumerate() {
            reader.file(file, source);
        }
        reader.finish(sources)
    }

    /// What the files say, or else the default.
    pub fn get<T: FromValue>(&self, option: &Opt<T>) -> Option<T> {
        self.given(option).or_else(|| read(&option.spec, option.spec.default))
    }

    /// As [`Config::get`], with the defaults of `octavia all-in-one`.
    pub fn all_in_one<T: FromValue>(&self, option: &Opt<T>) -> Option<T> {
        self.given(option).or_else(|| read(&option.spec, option.spec.all_in_one.or(option.spec.default)))
    }

    /// What the files say, if they say anything.
    pub fn given<T: FromValue>(&self, option: &Opt<T>) -> Option<T> {
        self.setting(&option.spec).and_then(|setting| T::from_value(setting.given.as_ref()?))
    }

    /// The sections `[group.NAME]` beside a group's own, by their names.
    pub fn subsections(&self, group: &str) -> impl Iterator<Item = Subsection<'_>> {
        let same = |a: &Setting, b: &Setting| a.spec.group == b.spec.group && a.subsection == b.subsection;
        let sections = self.settings.chunk_by(same);
        let is = move |first: &Setting| first.subsection.is_some() && first.spec.group == group;
        sections
            .filter(move |settings| settings.first().is_some_and(is))
            .map(|settings| Subsection { settings })
    }

    /// Where the option's value comes from.
    pub fn origin<T>(&self, option: &Opt<T>) -> &Origin {
        self.setting(&option.spec).map_or(&Origin::Default, |setting| &setting.origin)
    }

    /// All options, in the order of the table; then those of sections `[group.NAME]`, by the sections' names.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    fn setting(&self, spec: &Spec) -> Option<&Setting> {
        self.places.get(&(spec.group, spec.name)).map(|&place| &self.settings[place])
    }
}

impl Default for Config {
    /// Nothing but defaults.
    fn default() -> Self {
        Self::read(&[]).0
    }
}

fn read<T: FromValue>(spec: &Spec, default: Option<&str>) -> Option<T> {
    T::from_value(&spec.kind.read(default?)?)
}

/// One `name = value` that an option may take its value from.
#[derive(Debug)]
struct Mention {
    file: usize,
    line: usize,
    /// The place of the name used among the option's names: 0 = its own, then former ones.
    name: usize,
    raw: String,
}

/// A section `[group.NAME]` and where its options are.
#[derive(Debug)]
struct Below {
    group: &'static str,
    name: String,
    places: Range<usize>,
}

/// How far the value of an option is known.
enum State {
    Unknown,
    /// Being looked for: who comes here again refers to itself.
    Asked,
    Wrong,
    Known(Resolved),
}

#[derive(Debug, Clone)]
struct Resolved {
    value: Value,
    secret: bool,
}

struct Reader {
    specs: Vec<&'static Spec>,
    /// Of what comes after the table's own options: in which `[group.NAME]` each is.
    below: Vec<Below>,
    places: HashMap<(&'static str, &'static str), usize>,
    /// Lower-case group and any name of an option → the option, and the place of the name among its names.
    names: HashMap<(String, String), (usize, usize)>,
    mentions: Vec<Vec<Mention>>,
    states: Vec<State>,
    /// With the place of the file, by which they are sorted.
    problems: Vec<(usize, Problem)>,
}

impl Reader {
    fn new() -> Self {
        let specs: Vec<_> = groups().flat_map(|group| group.options).collect();
        let mut names = HashMap::new();
        for (place, spec) in specs.iter().enumerate() {
            let own = (spec.group, spec.name.to_owned());
            let former = spec.former.iter().map(|&(group, name)| (group, name.to_owned()));
            for (rank, (group, name)) in [own].into_iter().chain(former).enumerate() {
                names.insert((normalized(group), name), (place, rank));
            }
        }
        Self {
            places: specs.iter().enumerate().map(|(place, spec)| ((spec.group, spec.name), place)).collect(),
            mentions: specs.iter().map(|_| vec![]).collect(),
            states: specs.iter().map(|_| State::Unknown).collect(),
            specs,
            below: vec![],
            names,
            problems: vec![],
        }
    }

    /// The `[group.NAME]` that this option is in.
    fn below(&self, place: usize) -> Option<&Below> {
        self.below.iter().find(|below| below.places.contains(&place))
    }

    /// The section that this option is in.
    fn section(&self, place: usize) -> String {
        let group = self.specs[place].group;
        self.below(place).map_or_else(|| group.to_owned(), |below| format!("{group}.{}", below.name))
    }

    /// Makes room for the options of a section `[group.NAME]`, unless they are there already.
    fn open_below(&mut self, group: &'static Group, name: &str) -> Result<(), String> {
        if self.below.iter().any(|below| below.group == group.name && below.name == name) {
            return Ok(());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > MAX_BELOW_NAME || !name.chars().all(plain) {
            let (group, most) = (group.name, MAX_BELOW_NAME);
            return Err(format!(
                "unknown section: [{group}.NAME] has up to {most} letters, digits and _-. as NAME"
            ));
        }
        if self.below.len() == MAX_BELOW {
            return Err(format!("there are {MAX_BELOW} such sections already: nothing in it has an effect"));
        }
        let first = self.specs.len();
        for spec in group.options {
            let section = format!("{}.{name}", normalized(group.name));
            self.names.insert((section, spec.name.to_owned()), (self.specs.len(), 0));
            self.specs.push(spec);
            self.mentions.push(vec![]);
            self.states.push(State::Unknown);
        }
        let places = first..self.specs.len();
        self.below.push(Below { group: group.name, name: name.to_owned(), places });
        Ok(())
    }

    fn file(&mut self, file: usize, source: &Source) {
        let document = match text(&source.text) {
            Ok(text) => ini::parse(text),
            Err((line, what)) => return self.say(file, source, Severity::Error, line, (None, None), what),
        };
        for error in &document.errors {
            let at = (error.section.clone(), None);
            self.say(file, source, Severity::Error, Some(error.line), at, error.what.to_owned());
        }
        self.sections(file, source, &document);
        for assignment in document.assignments {
            let section = normalized(&assignment.section);
            let below = below(&assignment.section);
            let group = match &below {
                // One that was not opened has been told of.
                Some((group, name)) => self.open_below(group, name).ok().map(|()| *group),
                None => groups().find(|group| normalized(group.name) == section),
            };
            let Some(group) = group else { continue };
            let (key, line) = (assignment.key, assignment.line);
            let Some(&(place, name)) = self.names.get(&(section, key.clone())) else {
                let what = unknown(group, &key);
                let section = below.map_or_else(|| group.name.to_owned(), |_| assignment.section);
                let at = (Some(section), Some(key));
                self.say(file, source, Severity::Warning, Some(line), at, what);
                continue;
            };
            self.mentions[place].push(Mention { file, line, name, raw: assignment.value });
        }
    }

    fn sections(&mut self, file: usize, source: &Source, document: &Document) {
        for section in &document.sections {
            let name = normalized(&section.name);
            if let Some((group, name)) = below(&section.name) {
                if let Err(what) = self.open_below(group, &name) {
                    let at = (Some(section.name.clone()), None);
                    self.say(file, source, Severity::Warning, Some(section.line), at, what);
                }
                continue;
            }
            if groups().any(|group| normalized(group.name) == name) {
                continue;
            }
            let what = if LIBRARY_SECTIONS.contains(&name.as_str()) {
                "a section of one of the original's libraries: nothing in it has an effect here".to_owned()
            } else {
                match nearest(section.name.trim(), groups().map(|group| group.name)) {
                    Some(near) => format!("unknown section: is [{near}] meant?"),
                    None => "unknown section: nothing in it has an effect".to_owned(),
                }
            };
            let at = (Some(section.name.clone()), None);
            self.say(file, source, Severity::Warning, Some(section.line), at, what);
        }
    }

    fn say(
        &mut self,
        file: usize,
        source: &Source,
        severity: Severity,
        line: Option<usize>,
        (section, option): (Option<String>, Option<String>),
        what: String,
    ) {
        let problem = Problem { severity, file: source.name.clone(), line, section, option, what };
        self.problems.push((file, problem));
    }

    fn finish(mut self, sources: &[Source]) -> (Config, Vec<Problem>) {
        let mut settings = vec![];
        self.below.sort_by(|a, b| (a.group, &a.name).cmp(&(b.group, &b.name)));
        let below: Vec<_> = self.below.iter().flat_map(|below| below.places.clone()).collect();
        for place in (0..self.specs.len() - below.len()).chain(below) {
            let spec = self.specs[place];
            let subsection = self.below(place).map(|below| below.name.clone());
            let default =
                Setting { spec, subsection, given: None, origin: Origin::Default, secret: spec.secret };
            let Some(winner) = self.winner(place) else {
                settings.push(default);
                continue;
            };
            let (file, line, name) = (winner.file, winner.line, winner.name);
            self.remarks(place, file, line, name, &sources[file]);
            settings.push(match self.resolve(place, sources) {
                // Of a number nothing was given.
                Some(Resolved { value: Value::Unset, .. }) | None => default,
                Some(Resolved { value, secret }) => {
                    let origin = Origin::File { name: sources[file].name.clone(), line };
                    Setting { given: Some(value), origin, secret, ..default }
                }
            });
        }
        self.problems.sort_by_key(|(file, problem)| (*file, problem.line));
        self.cut(Severity::Warning);
        self.cut(Severity::Error);
        let problems = self.problems.into_iter().map(|(_, problem)| problem).collect();
        (Config { settings, places: self.places }, problems)
    }

    /// Leaves so many problems of one severity, and says how many there were more.
    fn cut(&mut self, severity: Severity) {
        let is = |problem: &Problem| problem.severity == severity;
        let count = self.problems.iter().filter(|(_, problem)| is(problem)).count();
        if count <= MAX_PROBLEMS {
            return;
        }
        let mut kept = 0;
        self.problems.retain(|(_, problem)| {
            kept += usize::from(is(problem));
            !is(problem) || kept <= MAX_PROBLEMS
        });
        let last = self.problems.iter().rfind(|(_, problem)| is(problem)).cloned();
        self.problems.extend(last.map(|(file, problem)| {
            let what = format!("and {} more", count - MAX_PROBLEMS);
            (file, Problem { line: None, section: None, option: None, what, ..problem })
        }));
    }

    /// The last file wins; in it, the newest name; of it, the last one.
    fn winner(&self, place: usize) -> Option<&Mention> {
        self.mentions[place]
            .iter()
            .max_by_key(|mention| (mention.file, usize::MAX - mention.name, mention.line))
    }

    /// What there is to say of an option because it is set at all.
    fn remarks(&mut self, place: usize, file: usize, line: usize, name: usize, source: &Source) {
        let spec = self.specs[place];
        let section = self.section(place);
        let at = |name: &str| (Some(section.clone()), Some(name.to_owned()));
        let mut warn = |at, what| self.say(file, source, Severity::Warning, Some(line), at, what);
        if let Some((group, old)) = name.checked_sub(1).map(|old| spec.former[old]) {
            let what = format!("an old name: write [{}] {}", spec.group, spec.name);
            warn((Some(group.to_owned()), Some(old.to_owned())), what);
        }
        match spec.applies {
            Applies::Yes => {}
            Applies::NotYet => warn(at(spec.name), "has no effect yet".to_owned()),
            Applies::NotHere(reason) => warn(at(spec.name), format!("has no effect here: {reason}")),
        }
    }

    /// The value of an option, with what it refers to in it; `None` = it is wrong, and that was said.
    fn resolve(&mut self, place: usize, sources: &[Source]) -> Option<Resolved> {
        match &self.states[place] {
            State::Known(resolved) => return Some(resolved.clone()),
            State::Wrong | State::Asked => return None,
            State::Unknown => {}
        }
        self.states[place] = State::Asked;
        let resolved = self.resolve_now(place, sources);
        self.states[place] = resolved.clone().map_or(State::Wrong, State::Known);
        resolved
    }

    fn resolve_now(&mut self, place: usize, sources: &[Source]) -> Option<Resolved> {
        let spec = self.specs[place];
        let Some(winner) = self.winner(place) else {
            let value = spec.default.and_then(|default| spec.kind.read(default)).unwrap_or(Value::Unset);
            return Some(Resolved { value, secret: spec.secret });
        };
        let (file, line) = (winner.file, winner.line);
        let mut secret = spec.secret;
        let result = if spec.kind == Kind::Multi {
            // Old names first, as the original has it, and in the order of the files.
            let mut mentions: Vec<_> = self.mentions[place].iter().collect();
            mentions.sort_by_key(|mention| (mention.file, usize::MAX - mention.name, mention.line));
            let raws: Vec<_> = mentions.iter().map(|mention| mention.raw.clone()).collect();
            let texts = raws.iter().map(|raw| self.interpolate(place, raw, &mut secret, sources));
            texts.collect::<Result<Vec<_>, _>>().map(Value::List)
        } else {
            let raw = winner.raw.clone();
            self.interpolate(place, &raw, &mut secret, sources).and_then(|text| {
                spec.kind.read(&text).ok_or_else(|| {
                    let shown = if secret {
                        "the value (secret)".to_owned()
                    } else {
                        format!("\"{}\"", printable(&text))
                    };
                    format!("{shown} is not allowed; allowed: {}", spec.kind.allowed())
                })
            })
        };
        match result {
            Ok(value) => Some(Resolved { value, secret }),
            Err(what) => {
                let at = (Some(self.section(place)), Some(spec.name.to_owned()));
                self.say(file, &sources[file], Severity::Error, Some(line), at, what);
                None
            }
        }
    }

    fn interpolate(
        &mut self,
        place: usize,
        raw: &str,
        secret: &mut bool,
        sources: &[Source],
    ) -> Result<String, String> {
        let mut text = String::new();
        for piece in pieces(raw) {
            match piece {
                Piece::Text(piece) => text.push_str(&piece),
                Piece::Name(name) => {
                    let place = self.find(place, &name)?;
                    let own = matches!(self.states[place], State::Asked);
                    let Some(resolved) = self.resolve(place, sources) else {
                        return Err(if own {
                            format!("${} refers to itself", printable(&name))
                        } else {
                            format!("${} has no right value itself", printable(&name))
                        });
                    };
                    *secret |= resolved.secret;
                    text.push_str(&resolved.value.to_string());
                }
            }
            if text.len() > MAX_VALUE {
                return Err(format!("becomes longer than {MAX_VALUE} bytes"));
            }
        }
        Ok(text)
    }

    /// The option that a name in the value of another one means: of the group named, of the same section, of the group
    /// that the section belongs to, or of DEFAULT.
    fn find(&self, from: usize, name: &str) -> Result<usize, String> {
        let group = self.specs[from].group;
        let place = match name.split_once('.') {
            Some(("DEFAULT", _)) => None,
            Some(name) => self.places.get(&name).copied(),
            None => {
                let beside = self.below(from).and_then(|below| {
                    let mut places = below.places.clone();
                    places.find(|&place| self.specs[place].name == name && !self.mentions[place].is_empty())
                });
                let own = || self.places.get(&(group, name)).or_else(|| self.places.get(&("DEFAULT", name)));
                beside.or_else(|| own().copied())
            }
        };
        place.ok_or_else(|| {
            format!("${}: no such option (of [{group}] or [DEFAULT]; $$ for a dollar sign)", printable(name))
        })
    }
}

/// The group and `NAME` of a section `[group.NAME]`, of groups that have such.
fn below(section: &str) -> Option<(&'static Group, String)> {
    let mut groups = groups().filter(|group| WITH_SUBSECTIONS.contains(&group.name));
    groups.find_map(|group| {
        let name = section.strip_prefix(group.name)?.strip_prefix('.')?;
        Some((group, normalized(name)))
    })
}

/// Sections' names may be written in any case, but for DEFAULT.
fn normalized(section: &str) -> String {
    if section == "DEFAULT" { section.to_owned() } else { section.to_lowercase() }
}

fn unknown(group: &Group, key: &str) -> String {
    let elsewhere = groups().find(|other| other.options.iter().any(|spec| spec.name == key));
    if let Some(near) = nearest(key, group.options.iter().map(|spec| spec.name)) {
        format!("unknown option: is {near} meant?")
    } else if let Some(elsewhere) = elsewhere.filter(|_| !group.open) {
        format!("unknown option here: is that of [{}] meant?", elsewhere.name)
    } else if group.open {
        "has no effect here: not an option of this program, but maybe of a library of the original".to_owned()
    } else {
        "unknown option: it has no effect".to_owned()
    }
}

/// The text of a file, or where and why it is none.
fn text(bytes: &[u8]) -> Result<&str, (Option<usize>, String)> {
    if bytes.len() > MAX_FILE {
        return Err((None, format!("larger than {MAX_FILE} bytes: this is no configuration file")));
    }
    let line = |end: usize| Some(1 + bytes[..end].iter().filter(|&&byte| byte == b'\n').count());
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err((line(at), "a byte 0: this is no text file".to_owned()));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| (line(error.valid_up_to()), "not UTF-8: this is no text file".to_owned()))
}

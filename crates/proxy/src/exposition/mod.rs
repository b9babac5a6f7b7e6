//! What we count, in the text format of Prometheus (version 0.0.4), under the original's names (`reference/amphora.md` §14).
//!
//! Pure: a configuration, the counters behind it and a time in, lines out, as many at once as are asked for. What is
//! counted is read when its line is written, so a text that is taken slowly is not of one moment; which lines there are,
//! is settled at its beginning.
//!
//! What the engine does not count has no line. Label values are ids and words of ours, none of which has to be escaped.

mod families;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::Arc;

use octavia_model::{ListenerId, MemberId};

use self::families::FAMILIES;
use crate::access_log::LogTotals;
use crate::snapshot::{ListenerConf, MemberConf, Mode, Route, Snapshot};
use crate::state::Totals;

/// Work done at once, at most, in lines of a small pool: a pool is looked through for some of its lines.
const WORK: usize = 1024;
/// Members that are looked at in the time of a line.
const MEMBERS_A_LINE: usize = 32;

/// What there is to say of the whole process and its machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Process {
    pub(crate) totals: Totals,
    /// Lines of the access log.
    pub(crate) log: LogTotals,
    /// Connections of clients there may be.
    pub(crate) max_connections: u64,
    /// Percent.
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
}

/// A text that is being written.
#[derive(Debug)]
pub(crate) struct Exposition {
    process: Process,
    /// By port.
    listeners: Vec<Listener>,
    lanes: Vec<Lane>,
    /// Milliseconds.
    now: u64,
    /// The family that comes next, and where in it.
    family: usize,
    place: usize,
    member: usize,
    /// The family has its head.
    headed: bool,
}

#[derive(Debug)]
struct Listener {
    conf: Arc<ListenerConf>,
    /// It has a socket.
    open: bool,
}

/// A pool as a listener leads to it.
#[derive(Debug)]
struct Lane {
    /// As the original calls it: `<pool id>:<listener id>`.
    name: String,
    route: Route,
    /// Requests go there, not connections.
    http: bool,
    /// Members are counted whichever listener leads to them: they are told of in the first lane of their pool.
    first: bool,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    lines: Write,
}

/// Writes a family's lines about one thing.
#[derive(Debug, Clone, Copy)]
enum Write {
    Process(fn(&Exposition, &mut Lines<'_>)),
    Listener(fn(&Listener, &mut Lines<'_>)),
    Pool(fn(&Lane, &mut Lines<'_>)),
    Member(fn(&Lane, &MemberConf, &mut Lines<'_>)),
}

#[derive(Debug, Clone, Copy)]
enum Labels<'a> {
    None,
    Listener(ListenerId),
    Pool(&'a str),
    Member(&'a str, MemberId),
}

/// Where the lines of a family about one thing go.
struct Lines<'a> {
    out: &'a mut Vec<u8>,
    family: &'static Family,
    labels: Labels<'a>,
    headed: &'a mut bool,
    now: u64,
}

impl Exposition {
    /// Of this configuration. `open` are the listeners that have a socket; `now` is in milliseconds.
    pub(crate) fn new(snapshot: &Snapshot, open: &HashSet<ListenerId>, process: Process, now: u64) -> Self {
        let listener =
            |conf: &Arc<ListenerConf>| Listener { conf: Arc::clone(conf), open: open.contains(&conf.id) };
        let mut listeners: Vec<_> = snapshot.listeners().map(listener).collect();
        listeners.sort_by_key(|listener| (listener.conf.port, listener.conf.id));
        let (mut lanes, mut pools) = (vec![], HashSet::new());
        for Listener { conf, .. } in &listeners {
            let mut seen = HashSet::new();
            for route in conf.routes().filter(|route| seen.insert(route.pool.id)) {
                lanes.push(Lane {
                    name: format!("{}:{}", route.pool.id, conf.id),
                    route: route.clone(),
                    http: conf.mode == Mode::Http,
                    first: pools.insert(route.pool.id),
                });
            }
        }
        Self { process, listeners, lanes, now, family: 0, place: 0, member: 0, headed: false }
    }

    /// Appends what comes next, `size` bytes of it or a few more, or less if there is much to look at; whether that was
    /// not all.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, size: usize) -> bool {
        let end = out.len() + size;
        let mut work = 0;
        while out.len() < end && work < WORK {
            match self.step(out) {
                Some(done) => work += done,
                None => return false,
            }
        }
        true
    }

    /// Writes about one thing; how much work that was, or `None` at the end.
    fn step(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let family = FAMILIES.get(self.family)?;
        let mut headed = self.headed;
        let mut lines = Lines { out, family, labels: Labels::None, headed: &mut headed, now: self.now };
        let mut work = 1;
        let mut next = Some((self.place + 1, 0));
        match family.lines {
            Write::Process(write) => {
                write(self, &mut lines);
                next = None;
            }
            Write::Listener(write) => match self.listeners.get(self.place) {
                Some(listener) => {
                    lines.labels = Labels::Listener(listener.conf.id);
                    write(listener, &mut lines);
                }
                None => next = None,
            },
            Write::Pool(write) => match self.lanes.get(self.place) {
                Some(lane) => {
                    lines.labels = Labels::Pool(&lane.name);
                    write(lane, &mut lines);
                    work += lane.route.pool.members.len() / MEMBERS_A_LINE;
                }
                None => next = None,
            },
            Write::Member(write) => match self.lanes.get(self.place) {
                Some(lane) => {
                    let members = if lane.first { &lane.route.pool.members[..] } else { &[] };
                    if let Some(member) = members.get(self.member) {
                        lines.labels = Labels::Member(&lane.name, member.id);
                        write(lane, member, &mut lines);
                        if self.member + 1 < members.len() {
                            next = Some((self.place, self.member + 1));
                        }
                    }
                }
                None => next = None,
            },
        }
        self.headed = headed;
        match next {
            Some((place, member)) => (self.place, self.member) = (place, member),
            None => {
                self.family += 1;
                (self.place, self.member, self.headed) = (0, 0, false);
            }
        }
        Some(work)
    }
}

impl Lines<'_> {
    /// The only line.
    fn is(&mut self, value: impl Display) {
        self.line("", None, value);
    }

    fn seconds(&mut self, ms: u64) {
        self.is(format_args!("{}.{:03}", ms / 1000, ms % 1000));
    }

    /// The time since a moment, if there was one.
    fn since(&mut self, moment: Option<u64>) {
        if let Some(moment) = moment {
            self.seconds(self.now.saturating_sub(moment));
        }
    }

    /// Of milliseconds, once there are any.
    fn average(&mut self, ms: Option<f64>) {
        if let Some(ms) = ms {
            self.is(format_args!("{:.6}", ms / 1000.0));
        }
    }

    /// A line for each state, of which one is the case.
    fn state(&mut self, states: &[&str], case: usize) {
        for (place, state) in states.iter().enumerate() {
            self.line("", Some(("state", state)), u8::from(place == case));
        }
    }

    fn line(&mut self, suffix: &str, label: Option<(&str, &str)>, value: impl Display) {
        // Writing to a Vec cannot fail.
        let _ = self.try_line(suffix, label, value);
    }

    fn try_line(
        &mut self,
        suffix: &str,
        label: Option<(&str, &str)>,
        value: impl Display,
    ) -> std::io::Result<()> {
        let Family { name, kind, help, .. } = self.family;
        let out = &mut *self.out;
        if !std::mem::replace(self.headed, true) {
            write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n")?;
        }
        write!(out, "{name}{suffix}")?;
        let mut before = "{";
        match self.labels {
            Labels::None => {}
            Labels::Listener(id) => write!(out, "{{listener=\"{id}\"")?,
            Labels::Pool(pool) => write!(out, "{{pool=\"{pool}\"")?,
            Labels::Member(pool, id) => write!(out, "{{pool=\"{pool}\",member=\"{id}\"")?,
        }
        if !matches!(self.labels, Labels::None) {
            before = ",";
        }
        if let Some((label, word)) = label {
            write!(out, "{before}{label}=\"{word}\"")?;
            before = ",";
        }
        let end = if before == "," { "}" } else { "" };
        writeln!(out, "{end} {value}")
    }
}

//! What finished requests and connections are told in, and where.

use std::collections::HashSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Targets of one spec: each has a thread of its own.
const TARGETS_MAX: usize = 4;
/// Bytes of a path: of sockets the kernel takes 107, which shows when one is opened.
const PATH_MAX: usize = 4_095;
/// Bytes of a format.
const FORMAT_MAX: usize = 1_024;
/// Bytes of a project's id: 255 characters of four bytes.
const PROJECT_MAX: usize = 1_020;
/// Seconds between two tries.
const RETRY_MAX: u32 = 3_600;

/// The access log of an amphora. An agent that does not know it tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogSpec {
    /// Whose load balancer it is, for the lines.
    pub project_id: String,
    pub format: LogFormatSpec,
    /// Each gets every line.
    pub targets: Vec<LogTarget>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormatSpec {
    /// One object a line.
    Json,
    /// In the language of [`LogFormat`].
    Text(String),
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogTarget {
    /// They are appended. A path that is not absolute begins in the amphora's directory.
    File(String),
    /// A syslog daemon of the machine, by the path of its socket for datagrams.
    Daemon { path: String, facility: u8 },
    /// A syslog daemon elsewhere: the first address of those that take lines.
    Remote {
        addresses: Vec<SocketAddr>,
        tcp: bool,
        facility: u8,
        /// Seconds after which an address that failed is tried again.
        retry: u32,
    },
    /// The proxy's standard output.
    Stdout,
}

impl LogTarget {
    /// Addresses of one target.
    pub const ADDRESSES_MAX: usize = 8;

    /// Whether the agent opens it, and hands it to the proxy.
    pub const fn is_opened(&self) -> bool {
        matches!(self, Self::File(_) | Self::Daemon { .. })
    }

    fn check(&self) -> Result<(), AccessLogFault> {
        let (path, facility) = match self {
            Self::Stdout => (None, 0),
            Self::File(path) => (Some(path), 0),
            Self::Daemon { path, facility } => (Some(path), *facility),
            Self::Remote { addresses, facility, retry, .. } => {
                if !(1..=Self::ADDRESSES_MAX).contains(&addresses.len()) {
                    return Err(AccessLogFault::Addresses(addresses.len()));
                }
                if !(1..=RETRY_MAX).contains(retry) {
                    return Err(AccessLogFault::Retry(*retry));
                }
                (None, *facility)
            }
        };
        if facility > 7 {
            return Err(AccessLogFault::Facility(facility));
        }
        let bad = |path: &String| path.is_empty() || path.len() > PATH_MAX || path.contains('\0');
        if path.is_some_and(bad) { Err(AccessLogFault::Path) } else { Ok(()) }
    }
}

/// What is wrong with an access log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessLogFault {
    #[error("has {0} targets, allowed are {TARGETS_MAX}")]
    Targets(usize),
    #[error("has a target twice")]
    Twice,
    #[error("has a target with {0} addresses, allowed are 1-{max}", max = LogTarget::ADDRESSES_MAX)]
    Addresses(usize),
    #[error("tries again after {0} s, allowed are 1-{RETRY_MAX}")]
    Retry(u32),
    #[error("has facility LOCAL{0}, allowed are LOCAL0-LOCAL7")]
    Facility(u8),
    #[error("has a path that is none")]
    Path,
    #[error("has a project id of more than {PROJECT_MAX} bytes")]
    Project,
    #[error("has a format that cannot be used: {0}")]
    Format(#[from] LogFormatError),
}

impl AccessLogSpec {
    /// The compiled format; `None` = JSON.
    pub fn format(&self) -> Result<Option<LogFormat>, LogFormatError> {
        match &self.format {
            LogFormatSpec::Json => Ok(None),
            LogFormatSpec::Text(text) => LogFormat::parse(text).map(Some),
        }
    }

    pub(super) fn check(&self) -> Result<(), AccessLogFault> {
        if self.targets.len() > TARGETS_MAX {
            return Err(AccessLogFault::Targets(self.targets.len()));
        }
        if self.targets.iter().collect::<HashSet<_>>().len() < self.targets.len() {
            return Err(AccessLogFault::Twice);
        }
        if self.project_id.len() > PROJECT_MAX {
            return Err(AccessLogFault::Project);
        }
        self.targets.iter().try_for_each(LogTarget::check)?;
        self.format()?;
        Ok(())
    }
}

/// A line's format, in HAProxy's language (its manual, §8.2.4), as far as it asks for what is known here; and with the
/// original's `{{ project_id }}` and `{{ lb_id }}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    pub pieces: Vec<LogPiece>,
    /// What HAProxy may know, and nobody here does: fields, in whose places are dashes, and flags.
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// As it is.
    Text(String),
    Field {
        field: LogField,
        quoted: bool,
    },
}

/// What a line can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogField {
    Project,
    LoadBalancer,
    /// `%f`: the listener.
    Listener,
    /// `%ci`, `%cp`.
    ClientAddress,
    ClientPort,
    /// `%fi`, `%fp`: where the client connected to.
    LocalAddress,
    LocalPort,
    /// `%t`: when the request's head was there, or the connection.
    Time,
    /// `%Ts`: the same in seconds since 1970.
    Seconds,
    /// `%r`, and its parts `%HM`, `%HU`, `%HV`.
    Request,
    Method,
    Target,
    Version,
    /// `%ST`.
    Status,
    /// `%B`: bytes to the client.
    Sent,
    /// `%U`: bytes from the client.
    Received,
    /// `%[ssl_c_verify]`, `%[ssl_c_s_dn]`.
    Verified,
    Subject,
    /// `%b`: pool and listener.
    Pool,
    /// `%s`.
    Member,
    /// `%Tt`: milliseconds.
    Duration,
    /// `%ts`: how it ended; `%tsc`: and what became of the cookie.
    Ending,
    EndingAndCookie,
}

impl LogField {
    /// By what comes after the percent sign.
    const NAMES: &'static [(&'static str, Self)] = &[
        ("f", Self::Listener),
        ("ci", Self::ClientAddress),
        ("cp", Self::ClientPort),
        ("fi", Self::LocalAddress),
        ("fp", Self::LocalPort),
        ("t", Self::Time),
        ("Ts", Self::Seconds),
        ("r", Self::Request),
        ("HM", Self::Method),
        ("HU", Self::Target),
        ("HV", Self::Version),
        ("ST", Self::Status),
        ("B", Self::Sent),
        ("U", Self::Received),
        ("[ssl_c_verify]", Self::Verified),
        ("[ssl_c_s_dn]", Self::Subject),
        ("b", Self::Pool),
        ("s", Self::Member),
        ("Tt", Self::Duration),
        ("ts", Self::Ending),
        ("tsc", Self::EndingAndCookie),
    ];

    /// By what is between braces.
    const WORDS: &'static [(&'static str, Self)] =
        &[("project_id", Self::Project), ("lb_id", Self::LoadBalancer)];

    fn of(names: &[(&str, Self)], name: &str) -> Option<Self> {
        names.iter().find(|(known, _)| *known == name).map(|&(_, field)| field)
    }
}

/// Why a format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFormatError {
    #[error("more than {FORMAT_MAX} bytes")]
    Length,
    #[error("a character that would end the line, or be unseen in it")]
    Control,
    #[error("nothing here is called {0:?}")]
    Unknown(String),
    #[error("{0:?} has no end")]
    Open(&'static str),
}

impl LogFormat {
    pub fn parse(text: &str) -> Result<Self, LogFormatError> {
        if text.len() > FORMAT_MAX {
            return Err(LogFormatError::Length);
        }
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(LogFormatError::Control);
        }
        let mut parser = Parser { rest: text, quoted: false, pieces: vec![], unknown: vec![] };
        while !parser.rest.is_empty() {
            parser.piece()?;
        }
        Ok(Self { pieces: parser.pieces, unknown: parser.unknown })
    }
}

struct Parser<'a> {
    rest: &'a str,
    /// What `%{+Q}o` says of all that follows.
    quoted: bool,
    pieces: Vec<LogPiece>,
    unknown: Vec<String>,
}

impl<'a> Parser<'a> {
    fn piece(&mut self) -> Result<(), LogFormatError> {
        if self.skip("{{") {
            let word = self.until("}}", "{{")?.trim();
            let field = LogField::of(LogField::WORDS, word);
            let field = field.ok_or_else(|| LogFormatError::Unknown(word.to_owned()))?;
            self.pieces.push(LogPiece::Field { field, quoted: false });
        } else if self.skip("%%") {
            self.text("%");
        } else if self.skip("%") {
            self.field()?;
        } else {
            let begin = self.rest.starts_with('{').into();
            let length = self.rest[begin..].find(['%', '{']).map_or(self.rest.len(), |at| begin + at);
            let text = self.take(length);
            self.text(text);
        }
        Ok(())
    }

    fn field(&mut self) -> Result<(), LogFormatError> {
        let mut quoted = self.quoted;
        if self.skip("{") {
            for flag in self.until("}", "%{")?.split(',') {
                match flag.trim() {
                    "+Q" => quoted = true,
                    "-Q" => quoted = false,
                    other => self.unknown.push(other.to_owned()),
                }
            }
        }
        let name = if self.rest.starts_with('[') {
            let length = self.rest.find(']').ok_or(LogFormatError::Open("%["))?;
            self.take(length + 1)
        } else {
            let end = self.rest.find(|c: char| !c.is_ascii_alphabetic());
            self.take(end.unwrap_or(self.rest.len()))
        };
        if name == "o" {
            self.quoted = quoted;
            // It stands for nothing, and neither does the blank after it.
            self.skip(" ");
            return Ok(());
        }
        let field = LogField::of(LogField::NAMES, name);
        match field {
            Some(field) => self.pieces.push(LogPiece::Field { field, quoted }),
            None => {
                self.unknown.push(format!("%{name}"));
                self.text(if quoted { "\"-\"" } else { "-" });
            }
        }
        Ok(())
    }

    fn text(&mut self, more: &str) {
        match self.pieces.last_mut() {
            Some(LogPiece::Text(text)) => text.push_str(more),
            _ => self.pieces.push(LogPiece::Text(more.to_owned())),
        }
    }

    fn skip(&mut self, what: &str) -> bool {
        self.rest.strip_prefix(what).map(|rest| self.rest = rest).is_some()
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// What comes before `end`, which is skipped.
    fn until(&mut self, end: &str, begin: &'static str) -> Result<&'a str, LogFormatError> {
        let (taken, rest) = self.rest.split_once(end).ok_or(LogFormatError::Open(begin))?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AmphoraSpec, SpecError, fixtures};

    /// The pieces: fields in brackets, with `Q` if they are quoted.
    fn parsed(text: &str) -> Result<String, String> {
        let format = LogFormat::parse(text).map_err(|error| error.to_string())?;
        let pieces = format.pieces.into_iter().map(|piece| match piece {
            LogPiece::Text(text) => text,
            LogPiece::Field { field, quoted } => format!("[{}{field:?}]", if quoted { "Q " } else { "" }),
        });
        let pieces: String = pieces.collect();
        Ok(format.unknown.iter().fold(pieces, |pieces, unknown| format!("{pieces} ?{unknown}")))
    }

    #[test]
    fn formats() {
        for (text, expected) in [
            ("", Ok("")),
            (
                "{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U %[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc",
                Ok(
                    "[Project] [LoadBalancer] [Listener] [ClientAddress] [ClientPort] [Time] [Q Request] [Status] [Sent] \
                    [Received] [Verified] [Q Subject] [Pool] [Member] [Duration] [EndingAndCookie]",
                ),
            ),
            ("{{lb_id}}%ts", Ok("[LoadBalancer][Ending]")),
            ("100%% {x} {", Ok("100% {x} {")),
            (
                "%HM %HU %HV %Ts %fi:%fp",
                Ok("[Method] [Target] [Version] [Seconds] [LocalAddress]:[LocalPort]"),
            ),
            ("%{+Q}o %f %{-Q}r", Ok("[Q Listener] [Request]")),
            ("%{ -Q , +Q }r", Ok("[Q Request]")),
            ("grüße %s", Ok("grüße [Member]")),
            ("a %", Ok("a - ?%")),
            ("%Tw %{+Q}[req.hdr(x)] %f", Ok("- \"-\" [Listener] ?%Tw ?%[req.hdr(x)]")),
            ("%{+X}r", Ok("[Request] ?+X")),
            ("{{ x }}", Err("nothing here is called \"x\"")),
            ("%{+Q", Err("\"%{\" has no end")),
            ("%[ssl", Err("\"%[\" has no end")),
            ("{{ lb_id", Err("\"{{\" has no end")),
            ("a\nb", Err("a character that would end the line, or be unseen in it")),
        ] {
            assert_eq!(parsed(text).as_deref().map_err(String::as_str), expected, "{text:?}");
        }
        let longest = "x".repeat(FORMAT_MAX);
        assert_eq!(parsed(&longest).as_ref(), Ok(&longest));
        assert_eq!(LogFormat::parse(&(longest + "x")), Err(LogFormatError::Length));
    }

    #[test]
    fn what_a_log_may_be() {
        let file = || LogTarget::File("access.log".to_owned());
        let remote = |addresses: usize, retry| LogTarget::Remote {
            addresses: vec![([192, 0, 2, 1], 514).into(); addresses],
            tcp: false,
            facility: 0,
            retry,
        };
        let daemon = |facility| LogTarget::Daemon { path: "/dev/log".to_owned(), facility };
        let text = |text: &str| LogFormatSpec::Text(text.to_owned());
        for (format, targets, expected) in [
            (LogFormatSpec::Json, vec![], Ok(())),
            (text("%f"), vec![file(), daemon(7), remote(8, 3_600), LogTarget::Stdout], Ok(())),
            (text("{{ x }}"), vec![], Err(LogFormatError::Unknown("x".to_owned()).into())),
            (LogFormatSpec::Json, vec![file(), LogTarget::Stdout, file()], Err(AccessLogFault::Twice)),
            (LogFormatSpec::Json, (1..6).map(|n| remote(1, n)).collect(), Err(AccessLogFault::Targets(5))),
            (LogFormatSpec::Json, vec![remote(0, 1)], Err(AccessLogFault::Addresses(0))),
            (LogFormatSpec::Json, vec![remote(9, 1)], Err(AccessLogFault::Addresses(9))),
            (LogFormatSpec::Json, vec![remote(1, 0)], Err(AccessLogFault::Retry(0))),
            (LogFormatSpec::Json, vec![daemon(8)], Err(AccessLogFault::Facility(8))),
            (LogFormatSpec::Json, vec![LogTarget::File(String::new())], Err(AccessLogFault::Path)),
            (LogFormatSpec::Json, vec![LogTarget::File("a\0b".to_owned())], Err(AccessLogFault::Path)),
        ] {
            let log = AccessLogSpec { project_id: "p".to_owned(), format, targets };
            let spec = AmphoraSpec { access_log: Some(log), ..fixtures::spec(vec![]) };
            assert_eq!(spec.validate(), expected.map_err(SpecError::AccessLog), "{spec:?}");
            let again: AmphoraSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
            assert_eq!(again, spec);
        }
    }
}

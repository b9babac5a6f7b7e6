//! Which certificate a client is shown, by the server's name it asks for (RFC 6066 §3).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

use super::visit;

/// Host names and the places of what they lead to, in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Vec<usize>>,
    /// Without their `*.`.
    wildcard: HashMap<Box<str>, Vec<usize>>,
}

impl Names {
    /// `name` is in lower case; `*.` at its start stands for one label.
    pub(super) fn add(&mut self, name: &str, place: usize) {
        let (map, key) = match name.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, name),
        };
        let places = map.entry(key.into()).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
    }

    /// The name itself goes before the wildcard that covers it; no place = nothing is for it.
    pub(super) fn find(&self, name: &str) -> &[usize] {
        let lower;
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        let covering = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).or_else(covering).map_or(&[], Vec::as_slice)
    }
}

/// A certificate with its key, and the same with what its authority says of it, until that says nothing (in seconds since
/// 1970).
pub(super) struct Shown {
    pub(super) plain: Arc<CertifiedKey>,
    pub(super) stapled: Option<(Arc<CertifiedKey>, u64)>,
}

/// The certificates of a listener; the first is for whoever asks for none of them.
pub(super) struct Chooser {
    all: Vec<Shown>,
    names: Names,
    clock: Arc<dyn TimeProvider>,
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chooser({} certificates)", self.all.len())
    }
}

impl Chooser {
    pub(super) fn new(certificates: Vec<(&[String], Shown)>, clock: Arc<dyn TimeProvider>) -> Self {
        let mut names = Names::default();
        let mut all = vec![];
        for (place, (own, shown)) in certificates.into_iter().enumerate() {
            own.iter().for_each(|name| names.add(name, place));
            all.push(shown);
        }
        Self { all, names, clock }
    }
}

impl ResolvesServerCert for Chooser {
    /// Of several certificates for one name, such as one with RSA and one with ECDSA, the first whose key can sign as
    /// the client wants.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        visit::asks_for(name);
        let places = name.map_or(&[][..], |name| self.names.find(name));
        let schemes = hello.signature_schemes();
        let signs = |place: &&usize| self.all[**place].plain.key.choose_scheme(schemes).is_some();
        let place = places.iter().find(signs).or(places.first()).copied().unwrap_or(0);
        let Shown { plain, stapled } = self.all.get(place)?;
        let holds = |until: u64| self.clock.current_time().is_some_and(|now| now.as_secs() < until);
        let key = stapled.as_ref().filter(|(_, until)| holds(*until)).map_or(plain, |(stapled, _)| stapled);
        Some(Arc::clone(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let mut names = Names::default();
        for (place, all) in [
            (0, &["a.example", "*.example"][..]),
            (1, &["*.a.example", "b.example"]),
            (2, &["a.example", "localhost", "*."]),
            (3, &["*.com", "*"]),
        ] {
            all.iter().for_each(|name| names.add(name, place));
            all.iter().for_each(|name| names.add(name, place));
        }
        for (name, places) in [
            ("a.example", &[0, 2][..]),
            ("A.Example", &[0, 2]),
            ("b.example", &[1]),
            ("c.example", &[0]),
            ("x.a.example", &[1]),
            // A wildcard is one label, and not none.
            ("x.b.example", &[]),
            ("x.y.a.example", &[]),
            ("example", &[]),
            ("localhost", &[2]),
            ("x.com", &[3]),
            ("", &[]),
            (".", &[2]),
            ("com", &[]),
        ] {
            assert_eq!(names.find(name), places, "{name}");
        }
    }
}

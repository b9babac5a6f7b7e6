//! What is known of an option, and of a group of them.

use std::marker::PhantomData;

use crate::Kind;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    pub group: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    /// The original's, as it would be written.
    pub default: Option<&'static str>,
    /// Of the default that is not the same everywhere.
    pub default_words: Option<&'static str>,
    /// The default of `octavia all-in-one`, where it is another one.
    pub all_in_one: Option<&'static str>,
    /// Never shown.
    pub secret: bool,
    /// Not of the original.
    pub ours: bool,
    /// Groups and names it had before.
    pub former: &'static [(&'static str, &'static str)],
    pub applies: Applies,
    pub help: &'static str,
}

/// Whether an option has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    Yes,
    /// It will.
    NotYet,
    /// It never will, because …
    NotHere(&'static str),
}

/// The options of one section of the file.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub name: &'static str,
    pub about: &'static str,
    /// A library of the original has more options here than the table.
    pub open: bool,
    pub options: &'static [Spec],
}

/// An option whose value is a `T`.
#[derive(Debug)]
pub struct Opt<T> {
    pub spec: Spec,
    value: PhantomData<fn() -> T>,
}

impl<T> Opt<T> {
    const fn new(kind: Kind) -> Self {
        let spec = Spec {
            group: "",
            name: "",
            kind,
            default: None,
            default_words: None,
            all_in_one: None,
            secret: false,
            ours: false,
            former: &[],
            applies: Applies::NotYet,
            help: "",
        };
        Self { spec, value: PhantomData }
    }

    pub(crate) const fn named(mut self, group: &'static str, name: &'static str, help: &'static str) -> Self {
        self.spec.group = group;
        self.spec.name = name;
        self.spec.help = help;
        self
    }

    pub(crate) const fn default(mut self, text: &'static str) -> Self {
        self.spec.default = Some(text);
        self
    }

    pub(crate) const fn default_words(mut self, words: &'static str) -> Self {
        self.spec.default_words = Some(words);
        self
    }

    pub(crate) const fn all_in_one(mut self, text: &'static str) -> Self {
        self.spec.all_in_one = Some(text);
        self
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.spec.secret = true;
        self
    }

    pub(crate) const fn ours(mut self) -> Self {
        self.spec.ours = true;
        self
    }

    pub(crate) const fn formerly(mut self, names: &'static [(&'static str, &'static str)]) -> Self {
        self.spec.former = names;
        self
    }

    pub(crate) const fn applies(mut self) -> Self {
        self.spec.applies = Applies::Yes;
        self
    }

    pub(crate) const fn not_here(mut self, reason: &'static str) -> Self {
        self.spec.applies = Applies::NotHere(reason);
        self
    }
}

/// Beginnings of rows: each ties a kind to the type that code gets.
pub(crate) mod row {
    use std::net::IpAddr;

    use super::Opt;
    use crate::kind::{Item, Kind};
    use crate::value::Limit;

    pub(crate) const fn text() -> Opt<String> {
        Opt::new(Kind::Text)
    }

    pub(crate) const fn choice(words: &'static [&'static str]) -> Opt<String> {
        Opt::new(Kind::Choice { words, any_case: false })
    }

    pub(crate) const fn choice_any_case(words: &'static [&'static str]) -> Opt<String> {
        Opt::new(Kind::Choice { words, any_case: true })
    }

    pub(crate) const fn flag() -> Opt<bool> {
        Opt::new(Kind::Flag)
    }

    pub(crate) const fn int() -> Opt<i64> {
        int_in(None, None)
    }

    pub(crate) const fn int_in(least: Option<i64>, most: Option<i64>) -> Opt<i64> {
        Opt::new(Kind::Int { least, most })
    }

    pub(crate) const fn float() -> Opt<f64> {
        float_in(None, None)
    }

    pub(crate) const fn float_in(least: Option<f64>, most: Option<f64>) -> Opt<f64> {
        Opt::new(Kind::Float { least, most })
    }

    pub(crate) const fn port() -> Opt<u16> {
        Opt::new(Kind::Port)
    }

    pub(crate) const fn ip() -> Opt<IpAddr> {
        Opt::new(Kind::Ip)
    }

    pub(crate) const fn host() -> Opt<String> {
        Opt::new(Kind::Host)
    }

    pub(crate) const fn limit() -> Opt<Limit> {
        Opt::new(Kind::Limit)
    }

    pub(crate) const fn list() -> Opt<Vec<String>> {
        list_of(Item::Text)
    }

    pub(crate) const fn list_of(item: Item) -> Opt<Vec<String>> {
        Opt::new(Kind::List(item))
    }

    pub(crate) const fn ip_list() -> Opt<Vec<IpAddr>> {
        Opt::new(Kind::List(Item::Ip))
    }

    pub(crate) const fn dict() -> Opt<Vec<(String, String)>> {
        Opt::new(Kind::Dict)
    }

    pub(crate) const fn multi() -> Opt<Vec<String>> {
        Opt::new(Kind::Multi)
    }
}

//! Reads `octavia.conf`: the INI dialect of oslo.config, against one table of options.
//!
//! The table ([`groups`], [`option`]) says of every option its type, default, bounds, meaning and whether it has an
//! effect here. From it come the typed values ([`Config`]), the sample file ([`sample`]) and the reference page
//! ([`reference`]). Nothing here reads a file or the environment: texts go in, values and [`Problem`]s come out.

#![forbid(unsafe_code)]

mod config;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod ini;
mod interpolate;
mod kind;
mod nearest;
mod print;
mod problem;
mod spec;
mod table;
mod userinfo;
mod value;

pub use config::{Config, Origin, Setting, Source, Subsection};
pub use kind::Kind;
pub use print::{reference, sample, show};
pub use problem::{Problem, Severity};
pub use spec::{Applies, Group, Opt, Spec};
pub use table::{groups, option};
pub use userinfo::without_userinfo;
pub use value::{Limit, Value};

/// Bytes of one file at most. The original's sample, with all its comments, is about a twentieth of it.
pub const MAX_FILE: usize = 1 << 20;

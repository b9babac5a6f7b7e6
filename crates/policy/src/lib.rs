//! Who may do what: the rule language of oslo.policy, its files, and the rules Octavia is shipped with.
//!
//! A [`Check`] is one parsed rule. A [`PolicyFile`] is what one file says, with lines. An [`Enforcer`] puts files over
//! the built-in [`defaults`] and answers [`allows`](Enforcer::allows) for a caller's [`Credentials`] and the
//! [`Target`] of a request. Nothing here reads a file or a clock: texts go in, decisions and [`Problem`]s come out.

#![forbid(unsafe_code)]

mod check;
mod credentials;
mod defaults;
mod enforcer;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod parse;
mod sample;
mod template;

pub use check::{Check, Step};
pub use credentials::{Credentials, Target, Value};
pub use defaults::{Deprecated, PREFIX, RuleDefault, defaults};
pub use enforcer::{Decision, Denial, Enforcer, Options};
pub use file::{FileRule, MAX_FILE, PolicyFile, Problem};
pub use parse::ParseError;
pub use sample::sample;

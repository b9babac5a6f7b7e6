//! Certificates, keys, authorities and revocation lists as users store them, read and checked. Pure: bytes in, facts out.
//!
//! A [`TlsBundle`] is what a listener needs to terminate TLS, or a pool to show a certificate to its members: a
//! certificate, what links it to its authority, and the key. It comes in two forms (`reference/api.md` §3.2.3): parts in
//! secrets of their own ([`TlsBundle::from_parts`]), or everything in one secret ([`TlsBundle::from_one`]).
//!
//! What authorities say of certificates now (OCSP) is asked and judged here, too ([`OcspQuestion`]).
//!
//! Whatever is read here was written by a user: sizes, counts and the work that a passphrase costs are bounded, and no
//! error repeats a byte of what it is about.

#![forbid(unsafe_code)]

mod authority;
mod bundle;
mod certificate;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod key;
mod ocsp;
mod pem;
mod pkcs12;
mod work;

pub use authority::{CaBundle, Crls};
pub use bundle::{Parts, TlsBundle};
pub use error::TlsError;
pub use key::PrivateKey;
pub use ocsp::{OCSP_MAX, OcspAnswer, OcspError, OcspQuestion, ocsp_question};

/// Bytes of one part at most.
pub const PART_MAX: usize = 256 << 10;
/// Certificates of a bundle, and lists beside an authority, at most.
pub const CHAIN_MAX: usize = 32;
/// Certificates of authorities at most.
pub const AUTHORITIES_MAX: usize = 512;

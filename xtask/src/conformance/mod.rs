//! Parts of ours beside the real thing, and other people's tests of the API: what takes a long installation.

mod barbican;
mod keystone;
mod schemathesis;
mod services;
mod tempest;
mod tls;
mod verdict;

use std::path::PathBuf;

use anyhow::Result;

pub(crate) use self::schemathesis::debug_binary;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Conformance {
    /// Tokens of a real Keystone, installed into target/services and started on loopback
    Keystone,
    /// Certificates in a real Barbican, beside such a Keystone
    Barbican(barbican::Arguments),
    /// The API tests of octavia-tempest-plugin against the embedded cloud, with a network where everything is there
    Tempest(tempest::Arguments),
    /// Requests made up out of the API's description, against the embedded cloud with such a network
    Schemathesis(schemathesis::Arguments),
    /// A scanner's judgement of a listener with the default TLS policy
    Tls(tls::Arguments),
}

pub(crate) fn run(suite: &Conformance) -> Result<()> {
    match suite {
        Conformance::Keystone => keystone::run(),
        Conformance::Barbican(arguments) => barbican::run(arguments),
        Conformance::Tempest(arguments) => tempest::run(arguments),
        Conformance::Schemathesis(arguments) => schemathesis::run(arguments),
        Conformance::Tls(arguments) => tls::run(arguments),
    }
}

/// What of it every change has to pass.
pub(crate) fn run_in_ci(binary: PathBuf) -> Result<()> {
    schemathesis::run_in_ci(binary)
}

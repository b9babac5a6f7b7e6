//! Parts of ours beside the real thing, and other people's tests of the API: what takes a long installation.

mod keystone;
mod schemathesis;
mod tempest;
mod verdict;

use anyhow::Result;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Conformance {
    /// Tokens of a real Keystone, installed into target/keystone and started on loopback
    Keystone,
    /// The API tests of octavia-tempest-plugin against the embedded cloud, with a network where everything is there
    Tempest(tempest::Arguments),
    /// Requests made up out of the API's description, against the embedded cloud with such a network
    Schemathesis(schemathesis::Arguments),
}

pub(crate) fn run(suite: &Conformance) -> Result<()> {
    match suite {
        Conformance::Keystone => keystone::run(),
        Conformance::Tempest(arguments) => tempest::run(arguments),
        Conformance::Schemathesis(arguments) => schemathesis::run(arguments),
    }
}

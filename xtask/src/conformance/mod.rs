//! Other people's tests of the API, run against `all-in-one`.

mod tempest;
mod verdict;

use anyhow::Result;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Conformance {
    /// The API tests of octavia-tempest-plugin against the embedded cloud, with a network where everything is there
    Tempest(tempest::Arguments),
}

pub(crate) fn run(suite: &Conformance) -> Result<()> {
    match suite {
        Conformance::Tempest(arguments) => tempest::run(arguments),
    }
}

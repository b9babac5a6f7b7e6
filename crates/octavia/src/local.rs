//! `octavia local`: the embedded cloud of a state directory, from outside.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use octavia_cloud::local;

use crate::args::LocalCommand;
use crate::state_dir::StateDir;

pub(crate) async fn run(command: LocalCommand) -> anyhow::Result<ExitCode> {
    match command {
        LocalCommand::Hosts(options) => {
            let mut out = std::io::stdout().lock();
            for (host, amphorae) in local::hosts(&options.state_dir)? {
                let state = if host.up { "up" } else { "cut off" };
                writeln!(out, "{}  {}  {state}  netns {}", host.name, host.zone, host.netns)?;
                for amphora in amphorae {
                    writeln!(out, "    amphora {amphora}")?;
                }
            }
        }
        LocalCommand::HostCut(of) => local::host_set(&of.local.state_dir, &of.host, false)?,
        LocalCommand::HostJoin(of) => local::host_set(&of.local.state_dir, &of.host, true)?,
        LocalCommand::Remove(options) => {
            anyhow::ensure!(
                options.state_dir.join("cloud/cloud.json").exists(),
                "{} is not the state directory of a local cloud",
                options.state_dir.display()
            );
            // Its lock goes with it.
            let state = StateDir::open(&options.state_dir)?;
            local::remove(state.path())
                .await
                .context("something is left; the same command removes the rest when the cause is gone")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

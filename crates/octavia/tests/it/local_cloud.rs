//! `--network netns` and `octavia local`: a data centre of namespaces that a state directory has, and that goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOne, AllInOneOptions};

use crate::world::binary;

fn octavia(arguments: &[&str], state_dir: &Path) -> Result<Output> {
    Ok(Command::new(binary()).args(arguments).arg("--state-dir").arg(state_dir).output()?)
}

fn told(arguments: &[&str], state_dir: &Path) -> Result<String> {
    let output = octavia(arguments, state_dir)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn refused(arguments: &[&str], state_dir: &Path) -> Result<String> {
    let output = octavia(arguments, state_dir)?;
    ensure!(!output.status.success(), "{arguments:?} went well");
    Ok(String::from_utf8(output.stderr)?)
}

/// Removes what a failed test leaves.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = octavia(&["local", "remove"], &self.0);
    }
}

#[tokio::test]
async fn a_data_centre_is_made_broken_found_and_removed() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed by: namespaces need root");
        return Ok(());
    }
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let state = dir.path().join("state");
    let mut options = AllInOneOptions::new(binary(), &state)?;
    options.arguments = ["--network", "netns", "--hosts", "2"].map(Into::into).to_vec();
    // Dropped after the product, which must not use the directory then.
    let _removed = Removed(state.clone());
    let mut product = AllInOne::start(options).await?;

    let hosts = told(&["local", "hosts"], &state)?;
    let lines: Vec<_> = hosts.lines().collect();
    ensure!(lines.len() == 2 && lines.iter().all(|line| line.contains("  up  ")), "{hosts}");
    ensure!(lines[0].starts_with("h1  zone-1  ") && lines[1].starts_with("h2  zone-2  "), "{hosts}");
    let netns = lines[0].rsplit_once(' ').context("a line names the namespace")?.1;
    let prefix = netns.strip_suffix("h1").context("it ends with the host's name")?.to_owned();
    let names = || -> Result<String> {
        let list = Command::new("ip").args(["netns", "list"]).output()?.stdout;
        let links = Command::new("ip").args(["-o", "link", "show"]).output()?.stdout;
        Ok(String::from_utf8([list, links].concat())?)
    };
    ensure!(names()?.contains(&prefix));
    let rest = product.rest("demo").await?;
    for subnet in ["private-subnet", "private-subnet-v6", "public-subnet", "public-subnet-v6"] {
        rest.subnet_id(subnet).await?;
    }

    told(&["local", "host-cut", "h2"], &state)?;
    ensure!(refused(&["local", "host-cut", "h3"], &state)?.contains("no host h3"));
    ensure!(refused(&["local", "remove"], &state)?.contains("in use"));
    product.kill_controller();
    product.restart().await?;
    ensure!(told(&["local", "hosts"], &state)?.contains("h2  zone-2  cut off"), "it stays cut off");
    told(&["local", "host-join", "h2"], &state)?;
    ensure!(told(&["local", "hosts"], &state)? == hosts);

    product.stop(Duration::from_secs(20)).await?;
    let other = refused(&["all-in-one", "--bind", "127.0.0.1:0"], &state)?;
    ensure!(other.contains("--network netns"), "{other}");
    told(&["local", "remove"], &state)?;
    ensure!(!names()?.contains(&prefix), "nothing is left");
    ensure!(!state.exists());
    ensure!(refused(&["local", "remove"], &state)?.contains("not the state directory"));
    Ok(())
}

#[test]
fn says_what_is_missing_and_makes_nothing() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let state = dir.path().join("state");
    // Whoever runs this, programs are missing.
    let output = Command::new(binary())
        .args(["all-in-one", "--network", "netns", "--bind", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .env("PATH", dir.path())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success());
    for word in ["program ip", "iproute2", "program tc", "program nft", "nftables"] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    ensure!(!state.join("cloud").exists(), "nothing is made");
    Ok(())
}

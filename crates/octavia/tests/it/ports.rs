//! Ports that need a privilege, without it.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOneOptions, rest};
use serde_json::{Value, json};

use crate::world::{LIMIT, PORT, World, binary, origins, serving};

/// `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// A command that makes the rest of the line run as nobody; empty when we have no privilege anyway.
pub(crate) fn without_privilege() -> Vec<OsString> {
    if !rustix::process::geteuid().is_root() {
        return vec![];
    }
    let words = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    words.map(OsString::from).into()
}

/// A directory of nobody's (ours without root), with the binary copied into it: the build directory may be private.
pub(crate) fn for_nobody(dir: &Path) -> Result<std::path::PathBuf> {
    let copy = dir.join("octavia");
    std::fs::copy(binary(), &copy)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    if rustix::process::geteuid().is_root() {
        chown(dir, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_port_without_privilege() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let copy = for_nobody(dir.path())?;
    let state = dir.path().join("state");
    std::fs::create_dir(&state)?;
    if rustix::process::geteuid().is_root() {
        chown(&state, Some(NOBODY), Some(NOBODY))?;
    }
    let mut options = AllInOneOptions::new(copy, state)?;
    options.wrapper = without_privilege();
    let world = World::start_with(dir, options).await?;
    let origins = origins(2)?;
    let lb = world.http_lb("usable", &origins, None).await?;

    let listener = json!({"listener": {
        "loadbalancer_id": lb.id, "protocol": "HTTP", "protocol_port": 80, "default_pool_id": lb.pool_id,
    }});
    let created = world.rest.post("/lbaas/listeners", &listener).await?;
    let path = format!("/lbaas/listeners/{}", rest::text(&created["listener"]["id"])?);
    let settled = octavia_testkit::wait_for("the listener to settle", LIMIT, async || {
        let shown = world.rest.get(&path).await.map_err(|error| format!("{error:#}"))?["listener"].take();
        match shown["provisioning_status"].as_str() {
            Some("ACTIVE" | "ERROR") => Ok(shown),
            _ => Err(shown.to_string()),
        }
    })
    .await?;

    let first: u16 =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?.trim().parse()?;
    let everybody_may = first <= 80;
    if everybody_may {
        ensure!(settled["provisioning_status"] == "ACTIVE", "{settled}");
    } else {
        ensure!(settled["provisioning_status"] == "ERROR", "{settled}");
        let reason = settled["status_reason"].as_str().context("an ERROR without a reason")?;
        ensure!(reason.contains("80") && reason.contains("1024"), "does not say what to do: {reason}");
    }

    // The load balancer stays usable: its other listener serves, and it takes changes.
    let shown = world.rest.lb_active(&lb.id, LIMIT).await?;
    ensure!(shown["provisioning_status"] == "ACTIVE", "{shown}");
    serving(lb.vip).await?;
    world
        .rest
        .put(&format!("/lbaas/loadbalancers/{}", lb.id), &json!({"loadbalancer": {"name": "renamed"}}))
        .await?;
    world.rest.delete(&path).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    let tree: Value = world.rest.lb_status(&lb.id).await?;
    ensure!(tree["listeners"].as_array().is_some_and(|all| all.len() == 1), "{tree}");
    ensure!(lb.vip.port() == PORT);
    world.rest.lb_delete(&lb.id, LIMIT).await
}

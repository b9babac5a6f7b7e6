//! `octavia local`: the embedded cloud of a state directory, from outside.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use octavia_cloud::local::{
    self, IDENTITY_PATH, LocalCloud, LocalKind, LocalOptions, NETWORK_PATH, NetnsOptions, SECRETS_PATH,
};
use tokio::sync::watch;

use crate::args::{LocalCommand, LocalNetworkKind, LocalServeOptions};
use crate::assembly::{listen, local_compute, reachable, write_atomically};
use crate::signal::StopSignals;
use crate::state_dir::StateDir;
use crate::{logging, notify, server};

/// In the state directory: where the HTTP APIs of a cloud that is kept for others are.
const URL_FILE: &str = "cloud.url";
/// How long calls under way may take when the process stops.
const GRACE: Duration = Duration::from_secs(15);

pub(crate) async fn run(command: LocalCommand) -> anyhow::Result<ExitCode> {
    match command {
        LocalCommand::Serve(options) => serve(&options).await?,
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

/// Where the HTTP APIs of the cloud are that is kept in a state directory.
pub(crate) fn url(state_dir: &Path) -> anyhow::Result<String> {
    let path = state_dir.join(URL_FILE);
    let url = std::fs::read_to_string(&path).with_context(|| {
        format!("{} cannot be read: `octavia local serve` makes it at its start", path.display())
    })?;
    Ok(url.trim().to_owned())
}

/// For who has the cloud for itself: nobody keeps it for others any more.
pub(crate) fn not_kept(state: &StateDir) {
    // It matters to nobody but who looks for mistakes.
    let _ = std::fs::remove_file(state.join(URL_FILE));
}

async fn serve(options: &LocalServeOptions) -> anyhow::Result<()> {
    logging::init(&options.log)?;
    let mut signals = StopSignals::listen()?;
    let state = StateDir::open(&options.state_dir)?;
    let listener = listen("the local cloud", options.bind).await?;
    let url = format!("http://{}", reachable(listener.local_addr()?));
    let hosts = NetnsOptions { hosts: options.hosts, zones: options.zones.unwrap_or(options.hosts) };
    let local_options = LocalOptions {
        url: url.clone(),
        load_balancer: Some(options.load_balancer_url.trim_end_matches('/').to_owned()),
        kind: match options.network {
            LocalNetworkKind::Loopback => LocalKind::Loopback,
            LocalNetworkKind::Netns => LocalKind::Netns(hosts),
        },
        ..LocalOptions::default()
    };
    let cloud = LocalCloud::open(state.path(), local_options).context("the local cloud does not open")?;
    let keeper = cloud.keeper(local_compute(&cloud)?).context("the local cloud cannot be shared")?;
    let app = Router::new()
        .nest_service(IDENTITY_PATH, cloud.identity_router())
        .nest_service(NETWORK_PATH, cloud.network_router())
        .nest_service(SECRETS_PATH, cloud.secrets_router());
    let clouds_yaml =
        cloud.clouds_yaml(&format!("{url}{IDENTITY_PATH}")).context("clouds.yaml cannot be written")?;
    write_atomically(&state.join(URL_FILE), &format!("{url}\n"))?;
    let (stop, stopped) = watch::channel(false);
    let mut asked = stopped.clone();
    // An error means that nobody is left to ask.
    let kept = tokio::spawn(keeper.run(async move { drop(asked.wait_for(|stop| *stop).await) }));
    let served = tokio::spawn(server::serve(listener, app, stopped));
    tracing::info!(url, clouds_yaml = %clouds_yaml.display(), "ready; daemons find it by --state-dir");
    notify::ready();
    let signal = signals.next().await;
    notify::stopping();
    tracing::info!(signal, "stopping; amphorae go on carrying traffic");
    let _ = stop.send(true);
    if tokio::time::timeout(GRACE, futures::future::join(kept, served)).await.is_err() {
        tracing::warn!("some calls did not end in {GRACE:?}");
    }
    Ok(())
}

//! What a state directory has made outside itself, from outside: looking at it, breaking it, taking it away.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use octavia_model::AmphoraId;

use super::files::path_remove;
use super::netns::{HostNumber, HostView, Netns};
use super::settings::Settings;
use super::trust_file::TrustFile;
use super::{OpenError, cert, compute};
use crate::Trust;

/// What an `all-in-one`, or `local serve`, writes into its state directory. Nothing else is touched.
const ENTRIES: &[&str] = &[
    compute::DIR,
    "cloud",
    "octavia.db",
    "octavia.db-shm",
    "octavia.db-wal",
    "clouds.yaml",
    "api.url",
    "metrics.url",
    "cloud.url",
    super::remote::SOCKET,
    "lock",
];

/// Ends all amphorae of the cloud in the state directory, removes its namespaces, and the directory with all that belongs
/// to it; with what somebody else has put there, it stays. The caller sees to it that no controller is at work there.
///
/// # Errors
///
/// If there is no cloud, or something does not go: what is left then can be removed by another call.
pub async fn remove(dir: &Path) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::file(dir, error);
    let dir = dir.canonicalize().map_err(failed)?;
    let settings = settings(&dir)?;
    compute::end_all(&dir).await.map_err(failed)?;
    if let Some(options) = settings.netns {
        Netns::existing(settings.network, options).remove().map_err(OpenError::NetnsTrouble)?;
    }
    // The settings last: they say what there is to remove.
    for entry in ENTRIES.iter().filter(|entry| **entry != "cloud").chain(["cloud"].iter()) {
        path_remove(&dir.join(entry)).map_err(failed)?;
    }
    match std::fs::remove_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        outcome => outcome.map_err(failed),
    }
}

/// The simulated hosts of the state directory, with their amphorae. A controller may be at work meanwhile.
///
/// # Errors
///
/// If there is no cloud with hosts, or the machine cannot be asked.
pub fn hosts(dir: &Path) -> Result<Vec<(HostView, Vec<AmphoraId>)>, OpenError> {
    let netns = netns(dir)?;
    let placed = compute::hosts_all(dir).map_err(|error| OpenError::file(dir, error))?;
    let of =
        |host: HostNumber| placed.iter().filter(|(_, on)| *on == host).map(|(amphora, _)| *amphora).collect();
    let hosts = netns.hosts().map_err(OpenError::NetnsTrouble)?;
    Ok(hosts.into_iter().map(|(host, view)| (view, of(host))).collect())
}

/// Cuts a host off from all others and from the machine, or joins it again. What runs on it runs on. A controller may be
/// at work meanwhile, and its restart changes nothing about it.
///
/// # Errors
///
/// If there is no such host.
pub fn host_set(dir: &Path, name: &str, up: bool) -> Result<(), OpenError> {
    let netns = netns(dir)?;
    let hosts = netns.hosts().map_err(OpenError::NetnsTrouble)?;
    let found = hosts.into_iter().find(|(_, view)| view.name == name);
    let (host, _) = found.ok_or_else(|| OpenError::HostUnknown(name.to_owned()))?;
    netns.host_set(host, up).map_err(OpenError::NetnsTrouble)
}

/// By what controllers and agents of the state directory know each other. A controller may be at work meanwhile.
///
/// # Errors
///
/// If there is no cloud, or its file is damaged.
pub fn trust(dir: &Path) -> Result<Trust, OpenError> {
    cert::trust_read(&cloud_dir(dir)?)
}

/// Makes a new authority, which issues from now on, and a new heartbeat key; those of before stay good. Controllers at
/// work notice by themselves, and lead amphorae over.
///
/// # Errors
///
/// If there is no cloud, or the change before is not finished.
pub fn trust_roll(dir: &Path) -> Result<Trust, OpenError> {
    let cloud = cloud_dir(dir)?;
    TrustFile::roll(&cloud, || cert::made(Timestamp::now()))?;
    cert::trust_read(&cloud)
}

/// Ends that: only the newest authority and the newest key are good. The caller sees to it that nobody needs another.
///
/// # Errors
///
/// If there is no cloud, or no change under way.
pub fn trust_finish(dir: &Path) -> Result<Trust, OpenError> {
    let cloud = cloud_dir(dir)?;
    TrustFile::finish(&cloud)?;
    cert::trust_read(&cloud)
}

fn cloud_dir(dir: &Path) -> Result<PathBuf, OpenError> {
    settings(dir)?;
    Ok(dir.join("cloud"))
}

fn netns(dir: &Path) -> Result<Netns, OpenError> {
    let settings = settings(dir)?;
    let options = settings.netns.ok_or(OpenError::KindDiffers("without network namespaces"))?;
    Ok(Netns::existing(settings.network, options))
}

fn settings(dir: &Path) -> Result<Settings, OpenError> {
    let cloud = dir.join("cloud");
    Settings::load(&cloud)?.ok_or_else(|| OpenError::file(&cloud, io::ErrorKind::NotFound.into()))
}
